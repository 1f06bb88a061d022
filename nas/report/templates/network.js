// A network as a strip of blocks over the sites of its backbone.

// Colours come with the data, each with that of letters on it; a second round of them bears a mark.
const kindOf = (label) => label.split("/")[0];
const kindsOf = (data) => [...new Set(data.labels.map(kindOf))].filter((kind) => kind !== "none").sort();

function look(data, kind) {
  const place = kindsOf(data).indexOf(kind);
  const [colour, ink] = data.palette[place % data.palette.length];
  return { colour, marked: place >= data.palette.length, ink };
}

// Sites in order, in groups: a stage of the backbone with one size of map.
function stagesOf(backbone) {
  const groups = [];
  backbone.sites.forEach((site, index) => {
    const last = groups.at(-1);
    const same = last && last.stage === site.stage && last.height === site.height && last.width === site.width && last.channels === site.channels;
    if (same) last.sites.push({ ...site, index });
    else groups.push({ ...site, sites: [{ ...site, index }] });
  });
  return groups;
}

// A number is the side of a square; a text is height x width.
const sizeOf = ({ resolution }) =>
  typeof resolution === "number" ? `${resolution}×${resolution}` : resolution.replace("x", "×");

const labelsOf = (data, network) => new Map(network.blocks.map(([site, label]) => [site, data.labels[label]]));

// One line, for a table: a coloured cell where a block stands.
function miniature(data, network) {
  const labels = labelsOf(data, network);
  const size = 9;
  let at = 0;
  const cells = [];
  for (const group of stagesOf(data.backbones[network.backbone])) {
    for (const site of group.sites) {
      const label = labels.get(site.index);
      const title = svg("title", {}, `${site.name}: ${label ?? (site.filled ? "as it comes" : "no block")}`);
      if (label === undefined || kindOf(label) === "none") {
        const kept = site.filled && label === undefined;
        cells.push(svg("rect", { x: at + 0.5, y: 3.5, width: size - 1, height: size - 1, rx: 2, fill: kept ? "#8a93a380" : "none", stroke: "#8a93a3", "stroke-opacity": 0.55 }, title));
      } else {
        const { colour, marked } = look(data, kindOf(label));
        cells.push(svg("rect", { x: at, y: 3, width: size, height: size, rx: 2, fill: colour }, title));
        if (marked) cells.push(svg("circle", { cx: at + size / 2, cy: 3 + size / 2, r: 1.8, fill: "#fff" }));
      }
      at += size + 1;
    }
    at += 4;
  }
  return svg("svg", { width: Math.max(1, at), height: 15, viewBox: `0 0 ${Math.max(1, at)} 15`, role: "img", "aria-label": spoken(data, network) }, ...cells);
}

function spoken(data, network) {
  const sites = data.backbones[network.backbone].sites;
  const placed = network.blocks.map(([site, label]) => `${sites[site].name}: ${data.labels[label]}`);
  return placed.length ? placed.join(", ") : "the backbone as it comes";
}

function strip(data, network) {
  const labels = labelsOf(data, network);
  const stages = stagesOf(data.backbones[network.backbone]).map((group) => {
    const size = group.height === null ? "" : `${group.height}×${group.width} · ${group.channels} ch`;
    return html("div", { class: "stage", role: "listitem" }, html("span", {}, size || group.stage),
      html("div", {}, ...group.sites.map((site) => cell(data, site, labels.get(site.index)))));
  });
  return html("div", { class: "strip", role: "list", "aria-label": "Blocks from the image to the classes" }, ...stages);
}

function cell(data, site, label) {
  const tall = site.height === null ? 34 : 22 + 6 * Math.log2(Math.max(2, site.height));
  const made = html("div", { class: "cell", title: `${site.name}: ${label ?? (site.filled ? "as the backbone comes" : "no block")}` });
  made.style.minHeight = `${tall}px`;
  if (label === undefined) {
    made.classList.add(site.filled ? "kept" : "none");
    made.append(site.filled ? "kept" : "·");
  } else if (kindOf(label) === "none") {
    made.classList.add("none");
    made.append("none");
  } else {
    const { colour, ink } = look(data, kindOf(label));
    const [kind, ...options] = label.split("/");
    made.style.background = colour;
    made.style.color = ink;
    made.append(kind, ...options.flatMap((option) => [html("br"), option]));
  }
  return made;
}

function legend(data) {
  const host = document.getElementById("kinds");
  host.replaceChildren(...kindsOf(data).map((kind) => {
    const { colour, marked } = look(data, kind);
    const key = svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, rx: 3, fill: colour }),
      marked ? svg("circle", { cx: 6, cy: 6, r: 2.2, fill: "#fff" }) : null);
    return html("span", { role: "listitem" }, key, kind);
  }));
}

const titleOf = (network) =>
  network.reference === "plain" ? "The plain backbone"
    : network.reference?.startsWith("plain x") ? `${network.reference}, the plain backbone widened`
    : network.reference ? `${network.reference}, placed by hand` : `Trial ${network.trial}`;

const milliseconds = (value) => value === null ? "?" : value < 10 ? value.toFixed(3) : value.toFixed(2);
const signed = (value, digits = 4) => value === null ? "?" : minus((value >= 0 ? "+" : "") + value.toFixed(digits));
const plusMinus = (value, digits) => value === null ? "" : ` ± ${value.toFixed(digits)}`;
const count = (value) => short(value) ?? `${value}`;

// Half of the 90 % interval of a gain; null where there is no belief, or nothing to be unsure of.
const halfWidth = (network, name) => network[name] === null ? null : (network[`${name}_high`] - network[`${name}_low`]) / 2 || null;

// A gain by full training as the table has it: in points, or in loss where accuracy is not known.
function gainOf(network) {
  if (network.reference === "plain") return "0";
  const [name, scale, digits, unit] = network.gain === null ? ["gain_loss", 1, 4, " of loss"] : ["gain", 100, 2, " points"];
  const [mean, low, high] = ["", "_low", "_high"].map((end) => signed(network[name + end] * scale, digits));
  return `${mean} [${low}, ${high}]${unit}`;
}

const chance = (value) => value === null ? "?" : value > 0.99 ? "> 99 %" : value < 0.01 ? "< 1 %" : `${(value * 100).toFixed(0)} %`;

const latencyNote = (network) =>
  network.predicted ? "predicted" : network.final ? "measured again on the idle machine" : "measured beside the trainings";

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;
}

function fullTraining(network) {
  const figure = (mean, spread) => `${(mean * 100).toFixed(2)}${plusMinus(spread == null ? null : spread * 100, 2)} %`;
  const test = network.retrained_test_accuracy == null ? ""
    : `, of test images ${figure(network.retrained_test_accuracy, network.retrained_test_spread)}`;
  return `${FIGURE} ${figure(network.retrained_accuracy, network.retrained_spread)}${test}, ${network.retrained_seeds} seed${network.retrained_seeds === 1 ? "" : "s"}`;
}

function describe(data, network) {
  const panel = document.getElementById("network");
  if (!network) {
    panel.replaceChildren(html("p", {}, "No network is complete yet."));
    return;
  }
  const plain = data.networks.find((item) => item.reference === "plain");
  const beside = plain && plain !== network && plain.latency_ms
    ? ` (${signed((network.latency_ms / plain.latency_ms - 1) * 100, 1)} % against plain)` : "";
  const backbone = data.backbones[network.backbone];
  const rows = [
    ...(network.gain_loss === null || network === plain ? [] : [["gain, full training", `${gainOf(network)}, better with ${chance(network.p_better)}`]]),
    ["loss saved", signed(network.loss_saved)],
    ["loss", network.loss === null ? "?" : network.loss.toFixed(4)],
    [FIGURE, `${(network.accuracy * 100).toFixed(2)} %`],
    ...(network.retrained_seeds ? [["fully trained", fullTraining(network)]] : []),
    ["latency", `${milliseconds(network.latency_ms)} ms ± ${((network.latency_spread ?? 0) * 100).toFixed(1)} %${beside}, ${latencyNote(network)}`],
    ["parameters", count(network.params)],
    ["multiply-adds", count(network.macs)],
    ["trained with", `${network.seeds} seed${network.seeds === 1 ? "" : "s"}`],
  ];
  const run = quoted(data.run);
  panel.replaceChildren(
    html("h3", {}, `${titleOf(network)} `, network.front ? html("span", { class: "badge" }, "front") : ""),
    html("dl", {}, ...rows.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)])),
    html("div", { class: "small" }, `${backbone.name}, from the ${sizeOf(backbone)} image to the classes`),
    strip(data, network),
    html("pre", {}, html("code", {}, `nas show ${run} ${network.trial}\nnas export ${run} ${network.trial} --to onnx --out winner.onnx`)),
  );
}
