// Waveforms: what the peaks of a recording say, drawn for the part of it that is in sight.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";

const QUIETEST = 0.25; // of the scale: what is below it is silence to the eye (-60 dB of 80)

/** The peaks as the service sends them: a line of JSON, then a byte for each interval of each channel. */
export function parsed(buffer) {
  const bytes = new Uint8Array(buffer);
  const end = bytes.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const channels = new Map();
  head.channels.forEach(({ track, channel }, place) => {
    channels.set(`${track}.${channel}`, bytes.subarray(end + 1 + place * head.count, end + 1 + (place + 1) * head.count));
  });
  return { interval: head.interval, channels };
}

/** How many CSS pixels something is wide. */
function useWidth(place) {
  const [width, set] = useState(0);
  useLayoutEffect(() => {
    const seen = new ResizeObserver(([entry]) => set(Math.round(entry.contentRect.width)));
    seen.observe(place.current);
    return () => seen.disconnect();
  }, []);
  return width;
}

/** The colours that are in force, as something that changes with them. */
export function useScheme(theme) {
  const [dark, set] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const asked = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => set(asked.matches);
    asked.addEventListener("change", changed);
    return () => asked.removeEventListener("change", changed);
  }, []);
  return `${theme} ${dark}`;
}

function draw(canvas, values, interval, sight) {
  const ratio = devicePixelRatio || 1;
  const wide = Math.round(canvas.clientWidth * ratio);
  const high = Math.round(canvas.clientHeight * ratio);
  if (!wide || !high) return;
  canvas.width = wide;
  canvas.height = high;
  const paper = canvas.getContext("2d");
  paper.fillStyle = getComputedStyle(canvas).color;
  const middle = high / 2;
  const each = (sight.to - sight.from) / interval / wide; // intervals in a column
  for (let x = 0; x < wide; x += 1) {
    const first = Math.floor(sight.from / interval + x * each);
    const last = Math.max(first + 1, Math.floor(sight.from / interval + (x + 1) * each));
    let most = 0;
    for (let at = first; at < last && at < values.length; at += 1) most = Math.max(most, values[at]);
    const tall = Math.max(0, (most / 255 - QUIETEST) / (1 - QUIETEST)) * (middle - ratio);
    paper.fillRect(x, middle - Math.max(tall, ratio / 2), 1, Math.max(tall * 2, ratio));
  }
}

export function Wave({ values, interval, sight, scheme, kind, faded }) {
  const place = useRef(null);
  const width = useWidth(place);
  useLayoutEffect(() => {
    if (values) draw(place.current, values, interval, sight);
  }, [values, interval, sight.from, sight.to, width, scheme]);
  return html`<canvas ref=${place} class="wave" data-kind=${kind} data-faded=${faded || undefined} aria-hidden="true"></canvas>`;
}
