// The page of several runs: their fronts in one chart for each group, and following them.

const HEIGHTS = { gain_loss: "↑ loss that full training is believed to save", loss_saved: "↑ validation loss saved" };

function drawGroups() {
  const groups = JSON.parse(document.getElementById("data").textContent);
  for (const host of document.querySelectorAll("[data-group]")) drawGroup(groups[+host.dataset.group], host);
}

function drawGroup(group, host) {
  const points = group.runs.flatMap((run) => run.points).filter((point) => point.height !== null);
  if (!points.length) { nothing(host, "Not known without the plain network."); return; }
  const chart = plot(host, {
    x: { domain: widened(extent(points.map((point) => point.latency_ms)), 0.04), title: "latency, ms →" },
    y: { domain: widened(extent(points.map((point) => point.height)), 0.08), title: HEIGHTS[group.height] },
  }, `Fronts of ${group.runs.map((run) => run.name).join(", ")}; the table above holds their ends`);
  const items = [];
  group.runs.forEach((run, number) => {
    const places = run.points.filter((point) => point.height !== null).map((point) => {
      const at = { x: chart.x(point.latency_ms), y: chart.y(point.height) };
      items.push({ ...at, lines: [`${run.name}: ${point.name}`, `${point.latency_ms} ms`, `${minus(`${point.height}`)} of loss`] });
      return at;
    });
    const style = `run run${number % 6}`;
    chart.area.append(svg("path", { class: style, d: places.map((at, i) => i ? `H${at.x}V${at.y}` : `M${at.x},${at.y}`).join("") }));
    for (const at of places) chart.area.append(svg("circle", { class: style, cx: at.x, cy: at.y, r: 4 }));
  });
  chart.root.addEventListener("pointermove", (event) => {
    const box = chart.root.getBoundingClientRect();
    const far = (item) => Math.hypot(item.x - event.clientX + box.left, item.y - event.clientY + box.top);
    const near = items.reduce((one, other) => far(other) < far(one) ? other : one);
    if (far(near) < 30) tip.show(event.clientX, event.clientY, near.lines); else tip.hide();
  });
  chart.root.addEventListener("pointerleave", () => tip.hide());
}

// What a reader has scrolled to stays: the parts are put in place of those before.
let stamp = null;
async function follow() {
  const note = document.getElementById("live");
  try {
    const now = await (await fetch("stamp", { cache: "no-store" })).text();
    if (stamp !== null && now !== stamp) {
      const answer = await fetch("./", { cache: "no-store" });
      if (!answer.ok) throw new Error(await answer.text());
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const name of ["all", "data"]) {
        document.getElementById(name).replaceWith(document.importNode(fresh.getElementById(name), true));
      }
      drawGroups();
    }
    stamp = now;
    note.textContent = "following the runs";
  } catch (error) {
    note.textContent = `no news: ${error.message}`;
  }
  setTimeout(follow, 3000);
}

let wide = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === wide) return;
  wide = document.body.clientWidth;
  drawGroups();
}).observe(document.body);
follow();
