// Elements, scales and axes. Text from a run only ever becomes text nodes and attribute values.

// What networks are judged by beside their loss: accuracy, or the figure of another task.
const FIGURE = document.getElementById("data").dataset.figure;
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const html = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

// About `wanted` round numbers from low to high.
function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
  return found;
}

// Powers of ten, and where they are few, twice and five times them.
function logTicks(low, high) {
  const found = [];
  const few = Math.log10(high / low) < 2.2;
  for (let n = Math.floor(Math.log10(low)); n <= Math.ceil(Math.log10(high)); n += 1) {
    for (const m of few ? [1, 2, 5] : [1]) found.push(m * 10 ** n);
  }
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

function widened([low, high], share) {
  const margin = (high - low || Math.abs(high) || 1) * share;
  return [low - margin, high + margin];
}

function extent(values) {
  const known = values.filter((value) => Number.isFinite(value));
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
}

const minus = (text) => text.replace("-", "\u2212");

// As many digits as the step between ticks needs.
function ticked(values) {
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : 1;
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
  const fine = Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6 ? 1 : 0;
  return (value) => minus(short(value) ?? value.toFixed(digits + fine));
}

function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(value) >= size) return `${+(value / (letter === "k" ? 1e3 : size)).toPrecision(3)} ${letter}`;
  }
  return null;
}

const powers = (value) =>
  value >= 0.001 && value < 10000 ? `${+value.toPrecision(2)}` : value.toExponential(0).replace("e", "·10^").replace("+", "");

// A text in lines of at most so many characters.
function wrapped(text, most) {
  const found = [""];
  for (const word of text.split(" ")) {
    if (found.at(-1) && found.at(-1).length + word.length >= most) found.push("");
    found.push(`${found.pop()} ${word}`.trim());
  }
  return found;
}

// An empty chart with axes: {area, x, y, box}; x and y map values to pixels.
// axes: {x: {domain, title, log, whole}, y: ...}. label: what a screen reader says of it.
function plot(host, axes, label) {
  const width = host.clientWidth || 640;
  const height = host.clientHeight || 300;
  const small = width < 480;
  const yTicks = axes.y.rows ? [] : axes.y.log ? logTicks(...axes.y.domain) : ticks(...axes.y.domain, small ? 4 : 5);
  const yText = axes.y.log ? powers : axes.y.format ?? ticked(yTicks);
  const widest = axes.y.rows
    ? Math.max(...axes.y.rows.map((row) => row.length)) * 6.6
    : Math.max(0, ...yTicks.map((value) => yText(value).length)) * 6.6;
  const titles = wrapped(axes.y.title, width / 6.4);
  const box = { left: Math.ceil(widest) + 12, right: width - 14, top: 11 + 15 * titles.length, bottom: height - 40 };
  const scale = (axis, from, to) => {
    const move = axis.log ? Math.log10 : (value) => value;
    const [low, high] = axis.domain.map(move);
    return (value) => from + ((move(value) - low) / (high - low || 1)) * (to - from);
  };
  const x = scale(axes.x, box.left, box.right);
  const y = scale(axes.y, box.bottom, box.top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const value of yTicks) {
    root.append(
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      svg("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end" }, yText(value)),
    );
  }
  let xTicks = axes.x.at ?? (axes.x.log ? logTicks(...axes.x.domain) : ticks(...axes.x.domain, small ? 4 : 7));
  if (axes.x.whole) xTicks = xTicks.filter(Number.isInteger);
  const xText = axes.x.log ? powers : ticked(xTicks);
  for (const value of xTicks) {
    root.append(
      svg("line", { class: "grid", x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4 }),
      svg("text", { x: x(value), y: box.bottom + 18, "text-anchor": "middle" }, xText(value)),
    );
  }
  root.append(
    svg("text", { class: "axis-title", x: box.right, y: height - 4, "text-anchor": "end" }, axes.x.title),
    ...titles.map((title, i) => svg("text", { class: "axis-title", x: axes.y.rows ? box.left : 0, y: 13 + 15 * i }, title)),
  );
  const area = svg("g");
  root.append(area);
  host.replaceChildren(root);
  return { root, area, x, y, box, width, height };
}

function nothing(host, text) {
  host.replaceChildren(svg("svg", { role: "img", "aria-label": text },
    svg("text", { class: "empty", x: "50%", y: "50%", "text-anchor": "middle" }, text)));
}

// What the pointer is near.
const tip = {
  show(clientX, clientY, lines) {
    const box = document.getElementById("tip");
    const [head, ...rest] = lines;
    box.replaceChildren(html("b", {}, head), ...rest.map((line) => html("div", {}, line)));
    box.hidden = false;
    const wide = box.offsetWidth, tall = box.offsetHeight;
    const left = clientX + 16 + wide > window.innerWidth ? clientX - wide - 14 : clientX + 16;
    box.style.left = `${Math.max(6, left)}px`;
    box.style.top = `${Math.max(6, Math.min(clientY - tall / 2, window.innerHeight - tall - 6))}px`;
  },
  hide() { document.getElementById("tip").hidden = true; },
};
