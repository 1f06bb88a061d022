// The front: a chart to filter, to point at and to walk through with the keyboard.

const AXES = {
  gain_loss: { title: "↑ loss that full training is believed to save against the plain network", of: (n) => n.gain_loss, error: (n) => halfWidth(n, "gain_loss") },
  gain: { title: "↑ points that full training is believed to gain over the plain network", of: (n) => percent(n.gain), error: (n) => percent(halfWidth(n, "gain")) },
  loss_saved: { title: "↑ validation loss saved against the plain network", of: (n) => n.loss_saved, error: () => null },
  accuracy: { title: `↑ validation ${FIGURE}, %`, of: (n) => n.accuracy * 100, error: () => null },
  retrained_accuracy: { title: `↑ validation ${FIGURE} after full training, %`, of: (n) => percent(n.retrained_accuracy), error: (n) => standardError(n, n.retrained_spread) },
  retrained_test_accuracy: { title: `↑ test ${FIGURE} after full training, %`, of: (n) => percent(n.retrained_test_accuracy), error: (n) => standardError(n, n.retrained_test_spread) },
  latency_ms: { title: "latency, ms →", of: (n) => n.latency_ms, error: (n) => n.latency_ms * (n.latency_spread ?? 0) },
  params: { title: "parameters →", of: (n) => n.params, error: () => null },
  macs: { title: "multiply-adds →", of: (n) => n.macs, error: () => null },
};
// What a front is by: the belief where there is one.
const objectiveOf = (data, name) => (data.believed ? { ...OBJECTIVE, loss: "gain_loss", accuracy: "gain" } : OBJECTIVE)[name];
const OBJECTIVE = { loss: "loss_saved", accuracy: "accuracy", retrained_accuracy: "retrained_accuracy", latency_ms: "latency_ms", params: "params", macs: "macs" };
const percent = (share) => share == null ? null : share * 100;
// Of a mean over seeds, in percent; null where one seed does not tell it.
const standardError = (network, spread) => spread == null ? null : (spread * 100) / Math.sqrt(network.retrained_seeds);
const SHAPES = ["M-6,-6H6V6H-6Z", "M0,-7.5L7,5.5H-7Z", "M0,-8L8,0L0,8L-8,0Z", "M0,7.5L7,-5.5H-7Z",
  "M-7,-2H-2V-7H2V-2H7V2H2V7H-2V2H-7Z", "M-6,-3L0,-7L6,-3V3L0,7L-6,3Z", "M-7,0A7,7 0 1 1 7,0A7,7 0 1 1 -7,0Z"];

const view = { chosen: null, cursor: null, shown: [], at: () => null };

function setUpFilters(data) {
  const form = document.getElementById("filters");
  form.hidden = document.getElementById("network").hidden = !data.networks.length;
  const keep = { kind: form.kind.value, backbone: form.backbone.value };
  form.kind.replaceChildren(html("option", { value: "" }, "any block"), ...kindsOf(data).map((kind) => html("option", { value: kind }, kind)));
  form.backbone.replaceChildren(html("option", { value: "" }, "any"),
    ...data.backbones.map((item, index) => html("option", { value: index }, `${item.name} at ${item.resolution}`)));
  form.kind.value = kindsOf(data).includes(keep.kind) ? keep.kind : "";
  form.backbone.value = keep.backbone < data.backbones.length ? keep.backbone : "";
  form.querySelector(".several").hidden = data.backbones.length < 2;
  const most = Math.max(1, ...data.networks.map((network) => network.blocks.length));
  const all = form.most.value === form.most.max;
  form.most.max = most;
  if (all) form.most.value = most;
}

// The slider's hundred steps are spaced by ratio, as latencies are.
function latencyLimit(data, form) {
  const [low, high] = extent(data.networks.map((network) => network.latency_ms));
  const share = form.latency.value / form.latency.max;
  return share >= 1 ? Infinity : low * (high / low) ** share * 1.0005;
}

const blockCount = (data, network) => network.blocks.filter(([, label]) => kindOf(data.labels[label]) !== "none").length;

function filtered(data) {
  const form = document.getElementById("filters");
  const limit = latencyLimit(data, form);
  form.latency_text.value = limit === Infinity ? "any" : `${milliseconds(limit)} ms`;
  form.blocks_text.value = form.most.value === form.most.max ? "any" : form.most.value;
  return data.networks.filter((network) => {
    const kind = network.reference ? "reference" : network.front ? "front" : "searched";
    return form[kind].checked
      && network.latency_ms <= limit
      && (form.most.value === form.most.max || blockCount(data, network) <= +form.most.value)
      && (!form.kind.value || network.blocks.some(([, label]) => kindOf(data.labels[label]) === form.kind.value))
      && (form.backbone.value === "" || network.backbone === +form.backbone.value);
  });
}

// Show the front and what was placed by hand; a failure far below must not flatten them.
function frame(networks, y) {
  const values = networks.map(y.of).filter(Number.isFinite).sort((a, b) => a - b);
  const shown = networks.filter((n) => n.front || n.reference);
  const [least, most] = extent([...shown.map(y.of), values[Math.floor(values.length * 0.1)], values.at(-1)]);
  // All of the front's bars; those of other networks may leave the chart, or one would flatten it.
  const ends = shown.flatMap((n) => [-1, 1].map((sign) => {
    const end = y.of(n) + sign * (y.error(n) ?? 0);
    return n.front ? end : Math.min(Math.max(end, least - (most - least) / 4), most + (most - least) / 4);
  }));
  return widened(extent([...ends, least, most]), 0.06);
}

function drawFront(data, host) {
  const form = document.getElementById("filters");
  const x = AXES[form.x.value], y = AXES[form.y.value];
  const usable = filtered(data).filter((network) => Number.isFinite(x.of(network)) && Number.isFinite(y.of(network)) && y.of(network) !== null);
  const every = data.networks.filter((network) => y.of(network) !== null);
  view.shown = [...usable].sort((a, b) => x.of(a) - x.of(b) || y.of(a) - y.of(b));
  document.getElementById("shown").value = `${usable.length} of ${data.networks.length} networks`;
  for (const row of document.querySelectorAll("#points tbody tr[data-trial]")) {
    row.hidden = !usable.some((network) => network.trial === +row.dataset.trial);
  }
  if (!every.length) {
    nothing(host, data.networks.length ? `Not known without the plain network: choose ${FIGURE}.` : "No network is complete yet.");
    return;
  }
  const across = widened(extent(every.flatMap((n) => [x.of(n) - (n.front ? x.error(n) ?? 0 : 0), x.of(n)])), 0.04);
  const chart = plot(host, { x: { domain: across, title: x.title }, y: { domain: frame(every, y), title: y.title } },
    `Chart of ${usable.length} networks; the table below holds the front. Arrow keys walk along, Enter shows a network.`);
  const place = (network) => [chart.x(x.of(network)), Math.min(chart.box.bottom + 6, chart.y(y.of(network)))];
  const placed = data.networks.filter((network) => network.reference);
  const byKind = (test) => usable.filter(test);
  for (const network of byKind((n) => !n.front && !n.reference)) {
    const [cx, cy] = place(network);
    chart.area.append(svg("circle", { class: "cloud", cx, cy, r: 3.6 }));
  }
  const members = byKind((n) => n.front).sort((a, b) => x.of(a) - x.of(b));
  const joined = data.objectives.length === 2 && [form.x.value, form.y.value].every((name) => data.objectives.some((item) => objectiveOf(data, item) === name));
  if (joined && members.length > 1) {
    // Between two networks the faster one is what can be had.
    const path = members.map((n, i) => i ? `H${place(n)[0]}V${place(n)[1]}` : `M${place(n)}`).join("");
    chart.area.append(svg("path", { class: "front-line", d: path }));
  }
  for (const network of byKind((n) => n.front || n.reference)) bars(chart, network, x, y, place(network));
  for (const network of members.filter((n) => !n.reference)) {
    const [cx, cy] = place(network);
    chart.area.append(svg("circle", { class: "front", cx, cy, r: 6 }));
  }
  const taken = usable.filter((n) => n.front || n.reference).map((n) => [place(n)[0] - 7, place(n)[1] - 7, 14, 14]);
  for (const network of byKind((n) => n.reference)) {
    const [cx, cy] = place(network);
    const shape = SHAPES[placed.indexOf(network) % SHAPES.length];
    chart.area.append(svg("path", { class: network.front ? "placed member" : "placed", d: shape, transform: `translate(${cx} ${cy})` }));
  }
  for (const network of byKind((n) => n.reference)) name(chart, network, place(network), taken);
  const below = usable.filter((network) => chart.y(y.of(network)) > chart.box.bottom + 6).length;
  if (below) chart.area.append(svg("text", { x: chart.box.left + 6, y: chart.box.bottom - 8 }, `${below} far below, drawn at the edge`));
  view.marks = svg("g");
  chart.area.append(view.marks);
  view.at = (network) => place(network);
  mark();
  listen(data, host, chart.root);
}

// As long as the noise, as far as the chart goes.
function bars(chart, network, x, y, [cx, cy]) {
  const kind = network.reference ? "placed-bar" : "front-bar";
  const up = y.error(network), side = x.error(network);
  const { left, right, top, bottom } = chart.box;
  const within = (low, value, high) => Math.max(low, Math.min(high, value));
  if (up) {
    const [y1, y2] = [-up, up].map((by) => within(top, chart.y(y.of(network) + by), bottom + 6));
    chart.area.append(svg("line", { class: kind, x1: cx, x2: cx, y1, y2 }));
  }
  if (side) {
    const [x1, x2] = [-side, side].map((by) => within(left, chart.x(x.of(network) + by), right));
    chart.area.append(svg("line", { class: kind, x1, x2, y1: cy, y2: cy }));
  }
}

// Beside its mark, where no other mark or name is in the way; in a crowd, pointing at it tells.
function name(chart, network, [cx, cy], taken) {
  const wide = network.reference.length * 6.7 + 4;
  const spots = [[11, 4], [-11 - wide, 4], [-wide / 2, -12], [-wide / 2, 20], [11, -9], [11, 17], [-11 - wide, -9], [-11 - wide, 17]];
  const boxes = spots.map(([dx, dy]) => [cx + dx, cy + dy - 11, wide, 14]);
  const hits = boxes.map(([left, top, w, h]) =>
    taken.filter(([l, t, a, b]) => left < l + a && l < left + w && top < t + b && t < top + h).length
    + (left < chart.box.left || left + w > chart.width || top < 14 || top + h > chart.box.bottom ? 9 : 0));
  const best = hits.indexOf(Math.min(...hits));
  if (hits[best] > 1) return;
  taken.push(boxes[best]);
  chart.area.append(svg("text", { class: "name", x: cx + spots[best][0], y: cy + spots[best][1] }, network.reference));
}

function mark() {
  const ring = (network, kind, r) => {
    const [cx, cy] = view.at(network);
    return svg("circle", { class: kind, cx, cy, r });
  };
  view.marks?.replaceChildren(
    ...(view.chosen && view.shown.includes(view.chosen) ? [ring(view.chosen, "chosen", 10)] : []),
    ...(view.cursor && view.shown.includes(view.cursor) ? [ring(view.cursor, "cursor", 12.5)] : []),
  );
}

function choose(data, network) {
  view.chosen = network;
  describe(data, network);
  mark();
  for (const row of document.querySelectorAll("#points tbody tr[data-trial]")) {
    row.classList.toggle("chosen", +row.dataset.trial === network?.trial);
  }
}

const lines = (network) => [
  titleOf(network) + (network.front ? ", on the front" : ""),
  ...(network.gain_loss === null ? [] : [`gain ${gainOf(network)}`]),
  `loss saved ${signed(network.loss_saved)}, ${FIGURE} ${(network.accuracy * 100).toFixed(2)} %, measured`,
  `latency ${milliseconds(network.latency_ms)} ms ± ${((network.latency_spread ?? 0) * 100).toFixed(1)} %, ${latencyNote(network)}`,
  `${count(network.params)} parameters, ${network.seeds} seed${network.seeds === 1 ? "" : "s"}`,
];

function listen(data, host, root) {
  const nearest = (event, within) => {
    const box = root.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let found = null, least = within;
    for (const network of view.shown) {
      const [cx, cy] = view.at(network);
      const far = Math.hypot(cx - px, cy - py) - (network.front || network.reference ? 4 : 0);
      if (far < least) [found, least] = [network, far];
    }
    return found;
  };
  root.addEventListener("pointermove", (event) => {
    const found = nearest(event, 26);
    root.style.cursor = found ? "pointer" : "";
    if (found) tip.show(event.clientX, event.clientY, lines(found)); else tip.hide();
  });
  root.addEventListener("pointerleave", tip.hide);
  root.addEventListener("click", (event) => {
    const found = nearest(event, 26);
    if (!found) return;
    choose(data, found);
    // Below the chart on a phone, where nobody would see that it has changed.
    const panel = document.getElementById("network");
    if (panel.getBoundingClientRect().top > root.getBoundingClientRect().bottom) panel.scrollIntoView({ block: "nearest" });
  });
  root.setAttribute("tabindex", "0");
  root.addEventListener("keydown", (event) => {
    const at = view.shown.indexOf(view.cursor ?? view.chosen);
    const last = view.shown.length - 1;
    const next = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last }[event.key];
    if (next !== undefined && last >= 0) {
      view.cursor = view.shown[Math.max(0, Math.min(last, next))];
      mark();
      const box = root.getBoundingClientRect(), [cx, cy] = view.at(view.cursor);
      tip.show(box.left + cx, box.top + cy, lines(view.cursor));
      root.setAttribute("aria-label", lines(view.cursor).join("; "));
    } else if ((event.key === "Enter" || event.key === " ") && view.cursor) choose(data, view.cursor);
    else return;
    event.preventDefault();
  });
  root.addEventListener("blur", () => { view.cursor = null; mark(); tip.hide(); });
}
