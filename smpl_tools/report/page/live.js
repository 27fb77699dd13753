// A page from a server asks whether its files have changed, and is then read anew at the same moment and view.

const EVERY = 700;
const KEY = "smoothnet-view";

export function kept() {
  try {
    const text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

export function watch(version, banner, view) {
  const say = (text) => {
    banner.textContent = text;
    banner.hidden = !text;
  };
  const ask = async () => {
    try {
      const answer = await fetch("state", { cache: "no-store" });
      const state = await answer.json();
      if (state.version !== version) {
        sessionStorage.setItem(KEY, JSON.stringify(view()));
        location.reload();
        return;
      }
      say(state.error ? `The file has changed and cannot be shown: ${state.error}` : "");
    } catch {
      say("The server has ended; what is shown stays.");
    }
    setTimeout(ask, EVERY);
  };
  setTimeout(ask, EVERY);
}
