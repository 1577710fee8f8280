// The table of nuclei: sorted by its headings, over all rows; a row picked here is marked in the picture and the other
// way round. Gradio gives element, props, trigger and watch. props.value.rows is the JSON of what numbers.rows returns; props.mark is
// {key, label} or null.

const root = element.querySelector(".nm-table");
let shown = 0; // which network
let order = { column: 0, down: false };
let onlyDoubtful = false;
let table = null, text = ""; // what is shown, and what it was read from

function taken() {
  const given = props.value?.rows || "";
  if (given !== text) [table, text] = [given ? JSON.parse(given) : null, given];
  return table;
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function format(x) {
  if (x === null) return "–"; // what isn't known: of pixels that are no numbers, say
  if (Number.isInteger(x)) return x.toLocaleString("en");
  return Math.abs(x) >= 1000 ? Math.round(x).toLocaleString("en") : String(Number(x.toPrecision(4)));
}

function sorted(network) {
  const sign = order.down ? -1 : 1, i = order.column;
  return [...network.rows].sort((a, b) => sign * ((a[i] ?? -Infinity) - (b[i] ?? -Infinity)) || a[0] - b[0]);
}

function isDoubtful(row) { // its confidence is low
  const i = table.columns.indexOf("confidence");
  return i >= 0 && row[i] < table.doubtful;
}

function heading(column, i) {
  const is = order.column === i;
  const sort = make("button", { type: "button", title: `Sort by ${column}` }, column, is ? (order.down ? " ▼" : " ▲") : "");
  sort.addEventListener("click", () => {
    order = { column: i, down: is ? !order.down : i > 0 };
    draw();
    root.querySelectorAll("th button")[i].focus();
  });
  return make("th", { scope: "col", "aria-sort": is ? (order.down ? "descending" : "ascending") : "none" }, sort);
}

function line(network, row) {
  const marked = props.mark && props.mark.key === network.key && props.mark.label === row[0];
  const node = make("tr", { tabindex: "0", "data-label": row[0], "aria-selected": String(Boolean(marked)) },
    ...row.map((x) => make("td", {}, format(x))));
  if (isDoubtful(row)) {
    node.classList.add("nm-doubtful");
    node.cells[table.columns.indexOf("confidence")].append(" doubtful");
  }
  const pick = () => trigger("select", { key: network.key, label: row[0] });
  node.addEventListener("click", pick);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pick();
  });
  return node;
}

function draw() {
  const value = table = taken();
  if (!value || !value.networks) return root.replaceChildren();
  const network = value.networks[Math.min(shown, value.networks.length - 1)];
  const tabs = value.networks.map((other, i) => {
    const tab = make("button", { type: "button", class: "nm-tool", "aria-pressed": String(other === network) },
      `${other.title} (${other.rows.length.toLocaleString("en")})`);
    tab.addEventListener("click", () => { shown = i; draw(); });
    return tab;
  });
  const every = sorted(network), few = every.filter(isDoubtful);
  if (table.columns.includes("confidence")) {
    const only = make("button", { type: "button", class: "nm-tool", "aria-pressed": String(onlyDoubtful) }, `Only doubtful (${few.length.toLocaleString("en")})`);
    only.addEventListener("click", () => { onlyDoubtful = !onlyDoubtful; draw(); root.querySelector(".nm-tabs button:last-child").focus(); });
    tabs.push(only);
  }
  const rows = onlyDoubtful ? few : every;
  let drawn = rows.slice(0, value.limit);
  const label = props.mark && props.mark.key === network.key ? props.mark.label : null;
  if (label !== null && !drawn.some((row) => row[0] === label)) {
    drawn = [...every.filter((row) => row[0] === label), ...drawn];
  }
  const shownTable = make("table", { "aria-label": `Nuclei found by ${network.title}` },
    make("thead", {}, make("tr", {}, ...value.columns.map(heading))),
    make("tbody", {}, ...drawn.map((row) => line(network, row))));
  const parts = [make("div", { class: "nm-tabs" }, ...tabs), make("div", { class: "nm-scroll" }, shownTable)];
  if (rows.length > value.limit) {
    parts.push(make("p", { class: "nm-note" }, `The first ${value.limit} of ${rows.length.toLocaleString("en")} in this order; the CSV file has all.`));
  }
  root.replaceChildren(...parts);
}

function reveal() {
  const i = ((table = taken())?.networks || []).findIndex((network) => network.key === props.mark?.key);
  if (i >= 0) shown = i;
  draw();
  const row = root.querySelector('tr[aria-selected="true"]'), box = root.querySelector(".nm-scroll");
  if (row) box.scrollTop = row.offsetTop - box.clientHeight / 2; // not scrollIntoView, which would move the page
}

watch("value", draw);
watch("mark", reveal);
draw();
