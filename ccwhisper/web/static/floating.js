// A small window above the others: Document Picture-in-Picture where the browser has it, a pop-out elsewhere.

const SIZE = { width: 340, height: 260 };

/** Whether a window can be opened at all; within another's frame the browser's own one cannot. */
export function floats() {
  return "documentPictureInPicture" in window || typeof window.open === "function";
}

/** Open it; null when the browser refuses. `closed` is called when it is gone. */
export async function float(closed) {
  let opened = null;
  try {
    opened = await window.documentPictureInPicture?.requestWindow(SIZE);
  } catch {
    opened = null; // not from a frame, or not without a click
  }
  opened ??= window.open("/static/blank.html", "ccwhisper-cues", `popup,width=${SIZE.width},height=${SIZE.height}`);
  if (!opened) return null;
  await ready(opened);
  const { document: page } = opened;
  page.title = "Cues";
  page.documentElement.lang = "en";
  if (document.documentElement.dataset.theme) page.documentElement.dataset.theme = document.documentElement.dataset.theme;
  const style = page.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("/static/app.css", location.href).href;
  page.head.append(style);
  opened.addEventListener("pagehide", closed, { once: true });
  return opened;
}

function ready(opened) {
  if (opened.location.href === "about:blank" && window.documentPictureInPicture?.window === opened) return Promise.resolve();
  if (opened.document.readyState === "complete" && opened.location.href !== "about:blank") return Promise.resolve();
  return new Promise((done) => opened.addEventListener("load", done, { once: true }));
}
