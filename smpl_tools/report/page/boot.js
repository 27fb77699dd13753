// Unpacks the page's own parts and starts it: modules become blobs, which an import map names.
"use strict";
(async () => {
  const bytesOf = (text) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  };
  const unpacked = async (name) => {
    const part = document.querySelector(`script[data-part="${CSS.escape(name)}"]`);
    const stream = new Blob([bytesOf(part.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
    part.textContent = "";
    return new Response(stream).arrayBuffer();
  };
  const text = async (name) => new TextDecoder().decode(await unpacked(name));
  const address = (source) => URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const named = (kind) =>
    [...document.querySelectorAll(`script[data-part^="${kind}:"]`)].map((part) => part.dataset.part.slice(kind.length + 1));
  try {
    const imports = {};
    const core = address(await text("library:three-core"));
    // A blob has no folder to look for its neighbour in.
    imports.three = address((await text("library:three")).replaceAll("./three.core.js", core));
    for (const name of named("library").filter((name) => name.includes("/"))) imports[name] = address(await text(`library:${name}`));
    for (const name of named("module")) imports[`report/${name}`] = address(await text(`module:${name}`));
    const map = document.createElement("script");
    map.type = "importmap";
    map.textContent = JSON.stringify({ imports });
    document.head.append(map);
    const { start } = await import("report/main");
    await start({
      data: await unpacked("data"),
      live: document.body.dataset.live,
      // Plotly is large and only draws what lies below: it is read once the player is there.
      plotly: async () => {
        const script = document.createElement("script");
        script.src = address(await text("library:plotly"));
        const loaded = new Promise((resolve, reject) => {
          script.onload = resolve;
          script.onerror = () => reject(new Error("Plotly could not be read"));
        });
        document.head.append(script);
        await loaded;
        return globalThis.Plotly;
      },
    });
  } catch (error) {
    const banner = document.getElementById("banner");
    banner.textContent = `This page could not be shown: ${error.message}`;
    banner.hidden = false;
    throw error;
  }
})();
