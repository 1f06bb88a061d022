// The other charts: each a function (data, host).

function hover(root, chart, items) {
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let found = null, least = 30;
    for (const item of items) {
      const far = Math.hypot(item.x - px, item.y - py);
      if (far < least) [found, least] = [item, far];
    }
    if (found) tip.show(event.clientX, event.clientY, found.lines); else tip.hide();
  });
  root.addEventListener("pointerleave", tip.hide);
}

// One value after each network: a staircase.
function staircase(data, host, values, y, label, text) {
  if (!values.length) { nothing(host, "No network is complete yet."); return; }
  const chart = plot(host, { x: { domain: [0, values.length], title: "networks, in the order they ended →", whole: true }, y }, label);
  const path = values.map((value, i) => i ? `H${chart.x(i + 1)}V${chart.y(value)}` : `M${chart.x(1)},${chart.y(value)}`).join("");
  chart.area.append(svg("path", { class: "line", d: path }));
  const items = [];
  values.forEach((value, i) => {
    const at = { x: chart.x(i + 1), y: chart.y(value), lines: [`after ${i + 1} networks`, text(value), `the last was trial ${data.progress.trial[i]}`] };
    items.push(at);
    if (!i || value !== values[i - 1]) chart.area.append(svg("circle", { class: "dot", cx: at.x, cy: at.y, r: 3 }));
  });
  hover(chart.root, chart, items);
}

const CHARTS = {
  front: drawFront,

  volume(data, host) {
    const values = data.progress.volume.map((value) => value * 100);
    staircase(data, host, values, { domain: [0, 104], title: "hypervolume, % of that at the end" },
      "Hypervolume after each network", (value) => `${value.toFixed(1)} % of the hypervolume`);
  },

  best(data, host) {
    const name = data.objectives[0];
    const values = data.progress.best.map((value) => name === "accuracy" ? value * 100 : value);
    const title = { loss: "lowest validation loss", accuracy: `highest validation ${FIGURE}, %` }[name] ?? `best ${name}`;
    staircase(data, host, values, { domain: widened(extent(values), 0.08), title }, `${title} after each network`,
      (value) => `${title} ${+value.toPrecision(5)}`);
  },

  promise(data, host) {
    const found = data.progress.promises;
    const known = found.flatMap(([, gain, luck]) => [gain, luck]).filter((value) => value > 0);
    if (!known.length) { nothing(host, "The sampler promised nothing yet."); return; }
    const high = Math.max(...known) * 1.5;
    const floor = Math.max(Math.min(...known) / 1.5, high * 1e-6);
    const chart = plot(host, {
      x: { domain: extent([0, ...found.map(([n]) => n)]), title: "networks, in the order they were proposed →", whole: true },
      y: { domain: [floor, high], log: true, title: "gain expected (log scale)" },
    }, "What the sampler promised of each network, against luck");
    const at = (n, value) => [chart.x(n), chart.y(Math.max(value, floor))];
    for (const [kind, column] of [["luck", 2], ["gain", 1]]) {
      const path = found.map((row, i) => `${i ? "L" : "M"}${at(row[0], row[column])}`).join("");
      chart.area.append(svg("path", { class: `line ${kind}`, d: path }));
    }
    const items = found.map(([n, gain, luck]) => {
      const [x, y] = at(n, gain);
      chart.area.append(svg("circle", { class: "dot gain", cx: x, cy: y, r: 2.6 }));
      return { x, y, lines: [`network ${n}`, `gain promised ${gain.toExponential(1)}`, `luck ${luck.toExponential(1)}`] };
    });
    const right = chart.box.right;
    chart.area.append(
      svg("line", { class: "line gain", x1: right - 128, x2: right - 108, y1: 10, y2: 10 }), svg("text", { x: right - 103, y: 14 }, "gain"),
      svg("line", { class: "line luck", x1: right - 62, x2: right - 42, y1: 10, y2: 10 }), svg("text", { x: right - 37, y: 14 }, "luck"));
    hover(chart.root, chart, items);
  },

  prospect(data, host) {
    const { rows, unit } = data.progress.prospects;
    if (!rows.length) { nothing(host, "Nothing is believed yet."); return; }
    const chart = plot(host, {
      x: { domain: extent([0, ...rows.map(([n]) => n)]), title: "networks, in the order they were proposed →", whole: true },
      y: { domain: widened(extent([0, ...rows.flatMap(([, ...values]) => values)]), 0.08), title: unit === "points" ? `points of ${FIGURE}` : "loss saved" },
    }, "What was gained so far, and what may be left");
    const along = (column) => rows.map((row) => `${chart.x(row[0])},${chart.y(row[column])}`);
    chart.area.append(
      svg("path", { class: "band", d: `M${[...along(2), ...along(3).reverse()].join("L")}Z` }),
      svg("line", { class: "zero", x1: chart.box.left, x2: chart.box.right, y1: chart.y(0), y2: chart.y(0) }),
      svg("path", { class: "line luck", d: `M${along(4).join("L")}` }),
      svg("path", { class: "line gain", d: `M${along(1).join("L")}` }));
    const digits = unit === "points" ? 2 : 4;
    const items = rows.map(([n, gain, low, high, regret]) => ({ x: chart.x(n), y: chart.y(gain), lines: [`network ${n}`,
      `gain ${signed(gain, digits)} [${signed(low, digits)}, ${signed(high, digits)}] ${unit}`, `expected regret ${regret.toFixed(digits)} ${unit}`] }));
    if (rows.length === 1) chart.area.append(svg("circle", { class: "dot gain", cx: items[0].x, cy: items[0].y, r: 3 }));
    const right = chart.box.right;
    chart.area.append(
      svg("line", { class: "line gain", x1: right - 148, x2: right - 128, y1: 10, y2: 10 }), svg("text", { x: right - 123, y: 14 }, "gain"),
      svg("line", { class: "line luck", x1: right - 82, x2: right - 62, y1: 10, y2: 10 }), svg("text", { x: right - 57, y: 14 }, "regret"));
    hover(chart.root, chart, items);
  },

  latency(data, host) {
    const found = data.latency;
    const rows = found.trial.map((trial, i) => ({ trial, before: found.before[i], after: found.after[i],
      sides: found.before[i] * (found.spread_before[i] ?? 0), ups: found.after[i] * (found.spread_after[i] ?? 0) }));
    if (!rows.length) { nothing(host, "No network has been measured again yet."); return; }
    const domain = widened(extent(rows.flatMap((row) => [row.before - row.sides, row.before + row.sides, row.after])), 0.05);
    const before = found.predicted ? "predicted" : "measured beside the trainings";
    const chart = plot(host, { x: { domain, title: `latency ${before}, ms →` }, y: { domain, title: "measured on the idle machine, ms" } },
      "Latency known during the search against the final measurement");
    chart.area.append(svg("line", { class: "zero", x1: chart.x(domain[0]), y1: chart.y(domain[0]), x2: chart.x(domain[1]), y2: chart.y(domain[1]) }));
    const names = new Map(data.networks.map((network) => [network.trial, titleOf(network)]));
    hover(chart.root, chart, rows.map((row) => {
      const at = { x: chart.x(row.before), y: chart.y(row.after) };
      chart.area.append(
        svg("line", { class: "bar", x1: chart.x(row.before - row.sides), x2: chart.x(row.before + row.sides), y1: at.y, y2: at.y }),
        svg("line", { class: "bar", x1: at.x, x2: at.x, y1: chart.y(row.after - row.ups), y2: chart.y(row.after + row.ups) }),
        svg("circle", { class: "dot", cx: at.x, cy: at.y, r: 4 }));
      const off = signed((row.after / row.before - 1) * 100, 1);
      return { ...at, lines: [names.get(row.trial) ?? `Trial ${row.trial}`, `${before}: ${milliseconds(row.before)} ms`, `on the idle machine: ${milliseconds(row.after)} ms (${off} %)`] };
    }));
  },

  // One panel for each kind of block, all with the same axes.
  curves(data, host) {
    const found = data.curves;
    const gains = found.networks.flatMap((network) => network.gains);
    const mine = found.networks.filter((network) => network.kind === host.dataset.kind);
    const ends = gains.flatMap((at) => [at.gain - at.deviation, at.gain + at.deviation]);
    const budgets = found.budgets, last = budgets[budgets.length - 1];
    const chart = plot(host, {
      x: { domain: [budgets[0] / 1.18, last * 1.18], log: true, at: budgets, title: "epochs of training →" },
      y: { domain: widened(extent([0, ...ends]), 0.12), title: "validation loss saved" },
    }, `Gain of ${host.dataset.kind} over the plain network after ${budgets.join(", ")} epochs`);
    const taken = found.taken ?? found.advised;
    if (taken >= budgets[0] / 1.18 && taken <= last * 1.18) {
      chart.area.append(svg("line", { class: "taken", x1: chart.x(taken), x2: chart.x(taken), y1: chart.box.top, y2: chart.box.bottom }));
    }
    chart.area.append(svg("line", { class: "zero", x1: chart.box.left, x2: chart.box.right, y1: chart.y(0), y2: chart.y(0) }),
      svg("text", { x: chart.box.left + 2, y: chart.y(0) - 4 }, "plain"));
    const items = [];
    for (const network of mine) {
      const kind = network.half || "all";
      const places = network.gains.map((at) => [chart.x(at.epochs), chart.y(at.gain)]);
      chart.area.append(svg("path", { class: `line curve ${kind}`, d: places.map((place, i) => `${i ? "L" : "M"}${place}`).join("") }));
      network.gains.forEach((at, i) => {
        const [x, y] = places[i];
        chart.area.append(
          svg("line", { class: "bar", x1: x, x2: x, y1: chart.y(at.gain - at.deviation), y2: chart.y(at.gain + at.deviation) }),
          svg("circle", { class: `dot ${kind}`, cx: x, cy: y, r: 3.4 }));
        items.push({ x, y, lines: [network.name, `after ${at.epochs} epochs`, `${signed(at.gain, 3)} ±${at.deviation.toFixed(3)} loss saved`, `${signed(at.points, 1)} points of ${FIGURE}`, network.verdict] });
      });
    }
    hover(chart.root, chart, items);
  },

  bias(data, host) {
    const rows = data.trust?.bias ?? [];
    if (!rows.length) { nothing(host, "No bias was measured."); return; }
    const ends = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value, 0]).map((value) => value * 100);
    const chart = plot(host, { x: { domain: widened(extent(ends), 0.08), title: "rank error, % of all ranks →" },
      y: { domain: [rows.length, 0], rows: rows.map((row) => row.name), title: "" } }, "What the proxy favours or punishes");
    const zero = chart.x(0);
    chart.area.append(svg("line", { class: "zero", x1: zero, x2: zero, y1: chart.box.top, y2: chart.box.bottom }));
    hover(chart.root, chart, rows.map((row, i) => {
      const [low, high] = [row.low ?? row.value, row.high ?? row.value];
      const clear = low * high > 0 ? " off" : "";
      const y = chart.y(i + 0.5), x = chart.x(row.value * 100);
      chart.area.append(svg("text", { x: chart.box.left - 8, y: y + 4, "text-anchor": "end" }, row.name),
        svg("line", { class: `bar${clear}`, x1: chart.x(low * 100), x2: chart.x(high * 100), y1: y, y2: y }),
        svg("circle", { class: `dot${clear}`, cx: x, cy: y, r: 4.5 }));
      return { x, y, lines: [row.name, `${signed(row.value * 100, 0)} % of the ranks`, `between ${signed(low * 100, 0)} and ${signed(high * 100, 0)} %`] };
    }));
  },
};
