// Colours. Takes have Okabe and Ito's, values a map of even steps (cividis, Nuñez, Anderton and Renslow 2018): both are
// told apart by every kind of colour vision.

const TAKES = {
  light: { take: "#0072b2", before: "#e69f00", after: "#0072b2", truth: "#009e73" },
  dark: { take: "#56b4e9", before: "#e69f00", after: "#56b4e9", truth: "#2fbd92" },
};
const STOPS = (
  "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 fee838"
).split(" ").map((text) => [0, 2, 4].map((at) => parseInt(text.slice(at, at + 2), 16)));

export const LABELS = { take: "Motion", before: "Before", after: "After", truth: "Truth" };

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function takeColour(key) {
  return TAKES[isDark() ? "dark" : "light"][key];
}

// Red, green, blue from 0 to 255 of a share from 0 to 1.
export function valueColour(share, into = [0, 0, 0]) {
  const place = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const index = Math.min(STOPS.length - 2, Math.floor(place));
  const part = place - index;
  for (let c = 0; c < 3; c++) into[c] = STOPS[index][c] * (1 - part) + STOPS[index + 1][c] * part;
  return into;
}

export function gradient() {
  const stops = STOPS.map((colour) => `rgb(${colour.join(" ")})`);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

export function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
