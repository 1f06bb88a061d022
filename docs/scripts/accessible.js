// What the theme leaves without a name, or out of reach of the keyboard (axe looks for it in the tests).

document.querySelector(".md-search")?.setAttribute("aria-label", "Search");

// The theme wraps tables once it has started, so that wide ones scroll.
addEventListener("load", () => {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap")) wrap.tabIndex = 0;
});
