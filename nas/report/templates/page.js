// Putting the page together, and following a run that goes on.

let data = JSON.parse(document.getElementById("data").textContent);

function drawAll() {
  for (const host of document.querySelectorAll("[data-chart]")) CHARTS[host.dataset.chart](data, host);
}

function setUp() {
  setUpFilters(data);
  legend(data);
  const known = new Map(data.networks.map((network) => [network.trial, network]));
  for (const row of document.querySelectorAll("#points tbody tr[data-trial]")) {
    const network = known.get(+row.dataset.trial);
    row.querySelector(".strip-cell").replaceChildren(miniature(data, network));
    row.querySelector(".pick").addEventListener("click", () => choose(data, network));
  }
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.onclick = async () => {
      const text = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "copied";
      } catch {
        window.getSelection().selectAllChildren(text);
        button.textContent = "selected";
      }
    };
  }
  const chosen = known.get(view.chosen?.trial) ?? known.get(data.answer) ?? bestOf(data.networks);
  drawAll();
  choose(data, chosen);
}

// Where there is no answer yet: what the search has found that loses least.
function bestOf(networks) {
  const least = (some) => [...some].sort((a, b) => a.loss - b.loss)[0];
  const members = networks.filter((network) => network.front);
  return least(members.filter((network) => !network.reference)) ?? least(members) ?? networks[0] ?? null;
}

function sortable(table) {
  table.querySelectorAll("thead th:not(.plain)").forEach((head) => {
    if (head.querySelector("button")) return;
    const button = html("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[head.cellIndex];
        const number = parseFloat(cell.dataset.value);
        return cell.dataset.value === undefined ? cell.textContent.trim() : Number.isNaN(number) ? -Infinity : number;
      };
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => {
        const [one, two] = [value(a), value(b)];
        return (one < two ? -1 : one > two ? 1 : 0) * (up ? 1 : -1);
      });
      body.append(...rows);
    });
  });
}

const form = document.getElementById("filters");
const redrawFront = () => CHARTS.front(data, document.querySelector("[data-chart=front]"));
form.addEventListener("input", redrawFront);
form.addEventListener("reset", () => setTimeout(() => {
  form.latency.value = form.latency.max;
  form.most.value = form.most.max;
  redrawFront();
}));
form.addEventListener("submit", (event) => event.preventDefault());

let width = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === width) return;
  width = document.body.clientWidth;
  drawAll();
}).observe(document.body);
// On paper charts have another size.
for (const event of ["beforeprint", "afterprint"]) window.addEventListener(event, drawAll);
window.matchMedia("print").addEventListener("change", drawAll);

// Following: when the run has changed, take the page again and put its changed parts in place.
const partsOf = (page) => new Map([...page.querySelectorAll("[data-swap]")].map((part) => [part.dataset.swap, part.outerHTML]));
let served = document.body.dataset.live === undefined ? null : partsOf(document);
async function follow() {
  const note = document.getElementById("live");
  try {
    const stamp = await (await fetch("stamp", { cache: "no-store" })).json();
    if (stamp.error) throw new Error(stamp.error);
    if (stamp.stamp !== data.stamp || stamp.state !== data.state) {
      const page = await fetch("./", { cache: "no-store" });
      if (!page.ok) throw new Error(await page.text());
      take(new DOMParser().parseFromString(await page.text(), "text/html"));
    }
    document.getElementById("live").textContent = data.state === "running" ? "following the run" : `the run is ${data.state}; still watching`;
  } catch (error) {
    note.textContent = `no news: ${error.message}`;
  }
  setTimeout(follow, 3000);
}

function take(fresh) {
  for (const part of fresh.querySelectorAll("[data-swap]")) {
    if (part.outerHTML !== served.get(part.dataset.swap)) {
      document.querySelector(`[data-swap="${part.dataset.swap}"]`)?.replaceWith(document.importNode(part, true));
    }
  }
  served = partsOf(fresh);
  data = JSON.parse(fresh.getElementById("data").textContent);
  setUp();
}

setUp();
if (served) setTimeout(follow, 3000);
