// Colours: by the system's wish, unless told otherwise. A file:// page may not remember.
function setTheme(choice) {
  document.documentElement.dataset.theme = choice;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", `${button.dataset.themeChoice === choice}`);
  }
}
const KEY = "attention-nas theme";
for (const button of document.querySelectorAll("[data-theme-choice]")) {
  button.addEventListener("click", () => {
    setTheme(button.dataset.themeChoice);
    try { localStorage.setItem(KEY, button.dataset.themeChoice); } catch { /* not allowed here */ }
  });
}
try { setTheme(localStorage.getItem(KEY) ?? "auto"); } catch { setTheme("auto"); }
