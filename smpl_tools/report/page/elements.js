// Small parts that the page is made of, and numbers as people read them.

const ICONS = {
  play: "M7 5v14l12-7z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  back: "M16 6v12l-8-6zM6 6h2v12H6z",
  forth: "M8 6v12l8-6zM16 6h2v12h-2z",
  loop: "M7 7h9V4l5 4.5L16 13v-3H9v3.5H6V8a1 1 0 0 1 1-1zM17 17H8v3l-5-4.500L8 11v3h7v-3.500h3V16a1 1 0 0 1-1 1z",
  follow: "M12 8.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM11 2h2v4.100a6 6 0 0 1 4.900 4.900H22v2h-4.100a6 6 0 0 1-4.900 4.900V22h-2v-4.100A6 6 0 0 1 6.100 13H2v-2h4.100A6 6 0 0 1 11 6.100z",
  trail: "M3 17.500a1.500 1.500 0 1 0 3 0 1.500 1.500 0 0 0-3 0zM7.500 14a1.700 1.700 0 1 0 3.400 0 1.700 1.700 0 0 0-3.400 0zM12 10a2 2 0 1 0 4 0 2 2 0 0 0-4 0zM16.500 5.500a2.400 2.400 0 1 0 4.800 0 2.400 2.400 0 0 0-4.800 0z",
  reset: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3v2a7 7 0 0 1 0 14v2a9 9 0 0 0 0-18z",
  help: "M11 17h2v2.200h-2zM12 4.500c-2.600 0-4.300 1.600-4.400 3.900h2.100c.1-1.200.9-2 2.200-2 1.200 0 2.100.7 2.100 1.800 0 1-.5 1.500-1.500 2.200-1.200.8-1.600 1.500-1.500 3v.9h2v-.7c0-1 .3-1.400 1.400-2.100 1.200-.8 1.900-1.800 1.900-3.300 0-2.200-1.800-3.700-4.300-3.700z",
  closer: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  wider: "M5 11h14v2H5z",
  close: "M6.400 5 12 10.600 17.600 5 19 6.400 13.400 12l5.600 5.600-1.400 1.400-5.600-5.600L6.400 19 5 17.600l5.600-5.600L5 6.400z",
};

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

// Give a button its sign and what it is called; a mouse leaves no focus behind, so that keys go to the player again.
export function dressed(button, sign, label, key) {
  button.replaceChildren(icon(sign));
  button.title = key ? `${label} (${key})` : label;
  button.setAttribute("aria-label", label);
  return button;
}

export function iconButton(sign, label, key, call) {
  const button = dressed(element("button", { type: "button", className: "icon" }), sign, label, key);
  button.addEventListener("click", (event) => {
    call();
    if (event.detail) button.blur();
  });
  return button;
}

export function toggle(state, name, sign, label, key) {
  const button = iconButton(sign, label, key, () => state.toggle(name));
  const show = () => button.setAttribute("aria-pressed", String(state.get(name)));
  state.listen([name], show);
  show();
  return button;
}

// One of a few, as radio buttons beside each other.
export function segmented(state, name, label, options) {
  const group = element("div", { className: "segments", role: "radiogroup", ariaLabel: label });
  const inputs = options.map(({ value, text }) => {
    const input = element("input", { type: "radio", name: `choice-${name}`, value });
    input.addEventListener("change", () => state.set({ [name]: value }));
    const shown = element("label", {}, input, element("span", { textContent: text }));
    shown.addEventListener("pointerup", () => setTimeout(() => input.blur(), 0));
    group.append(shown);
    return input;
  });
  const show = () => inputs.forEach((input) => (input.checked = input.value === state.get(name)));
  state.listen([name], show);
  show();
  return group;
}

export function choice(state, name, label, options) {
  const select = element("select", { ariaLabel: label });
  for (const { value, text } of options) select.append(element("option", { value, textContent: text }));
  select.addEventListener("change", () => {
    state.set({ [name]: select.value });
    select.blur();
  });
  const show = () => (select.value = state.get(name));
  state.listen([name], show);
  show();
  return select;
}

// Three significant digits; a dash for nothing.
export function number(value, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size < 1e-9 ? 0 : Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(size))));
  const text = value.toFixed(digits).replace(/^(-?\d{1,3})((?:\d{3})+)(?=$|\.)/, (_, head, rest) => head + rest.replace(/\d{3}/g, ",$&"));
  return unit ? `${text}\u00a0${unit}` : text;
}
