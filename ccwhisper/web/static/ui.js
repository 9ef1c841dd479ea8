// What every page is made with: the view library, times, and words that are read aloud.
import { h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render, useEffect, useLayoutEffect, useMemo, useRef, useState };

/** Seconds as 0:05, 12:34 or 1:02:03. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Draws the component again whenever the desk has news, at most once a frame. */
export function useDesk(desk) {
  const [, draw] = useState(0);
  useEffect(() => {
    let frame = 0;
    const news = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        draw((count) => count + 1);
      });
    };
    desk.addEventListener("news", news);
    news(); // of before somebody listened
    return () => {
      desk.removeEventListener("news", news);
      cancelAnimationFrame(frame);
    };
  }, [desk]);
}

/** The switch's time in seconds, once a second. */
export function useClock(desk) {
  const [now, tick] = useState(() => desk.now());
  useEffect(() => {
    const timer = setInterval(() => tick(desk.now()), 1000);
    return () => clearInterval(timer);
  }, [desk]);
  return now;
}

/** Have a screen reader say something. */
export function announce(text) {
  const place = document.getElementById("announcer");
  if (place && place.textContent !== text) place.textContent = text;
}

/** auto, light or dark, kept for the next visit. */
export function useTheme() {
  const [theme, set] = useState(() => localStorage.getItem("ccwhisper.theme") ?? "auto");
  useLayoutEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    localStorage.setItem("ccwhisper.theme", theme);
  }, [theme]);
  const next = { auto: "light", light: "dark", dark: "auto" }[theme];
  return [theme, () => set(next)];
}

const PATHS = {
  inbound: "M19 5 7 17M7 8v9h9",
  outbound: "M5 19 17 7M8 7h9v9",
  internal: "M4 12h16M8 8l-4 4 4 4M16 8l4 4-4 4",
  listen: "M4 14v-2a8 8 0 0 1 16 0v2M4 14h4v6H6a2 2 0 0 1-2-2zM20 14h-4v6h2a2 2 0 0 0 2-2z",
  whisper: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4",
  barge: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM16 11a3 3 0 1 0 0-6M3 20a5 5 0 0 1 10 0M14.5 15a5 5 0 0 1 6.5 5",
  take: "M4 8h11M11 4l4 4-4 4M20 16H9M13 12l-4 4 4 4",
  muted: "M9 9v2a3 3 0 0 0 5 2M15 10V6a3 3 0 0 0-6-1M6 11a6 6 0 0 0 9 5M12 17v4M4 4l16 16",
  hold: "M9 6v12M15 6v12",
  star: "M12 4l2.4 5 5.6.7-4.1 3.8 1.1 5.5L12 16.3 7 19l1.1-5.5L4 9.7 9.6 9z",
  hand: "M8 13V6.5a1.5 1.5 0 0 1 3 0V12M11 11V5a1.5 1.5 0 0 1 3 0v6M14 11.5V6.5a1.5 1.5 0 0 1 3 0V15a6 6 0 0 1-6 6c-3 0-4.5-1.5-6-4l-1.5-2.5a1.4 1.4 0 0 1 2.3-1.5L8 15",
  leave: "M6 6l12 12M18 6 6 18",
  available: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8 12.2l2.8 2.8L16 9.5",
  ringing: "M6.5 16.5V11a5.5 5.5 0 0 1 11 0v5.5l1.5 1.5H5zM10 21h4",
  call: "M6 3.5h3l1.5 4.5-2 1.6a12 12 0 0 0 5.9 5.9l1.6-2 4.5 1.5v3a2 2 0 0 1-2 2A14.5 14.5 0 0 1 4 5.5a2 2 0 0 1 2-2z",
  break: "M5 9h11v6a4 4 0 0 1-4 4H9a4 4 0 0 1-4-4zM16 10.5h1.5a2.3 2.3 0 0 1 0 4.6H16M8.5 3v2.5M12.5 3v2.5",
  out: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8 12h8",
  unknown: "M5 12h.01M12 12h.01M19 12h.01",
  follow: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20a6 6 0 0 1 10.5-4M14 20h7M18 17l3 3-3 3",
};

/** A button that, while there is a reason against it, is grey and says the reason: under the pointer, to a screen
 *  reader, and, by what `onClick` comes to, when it is pressed all the same (a finger has no pointer to hover with). */
export function Offer({ why, title, children, ...rest }) {
  return html`<button type="button" aria-disabled=${why ? "true" : undefined} title=${why ?? title} ...${rest}>${children}</button>`;
}

/** An icon that says nothing to a screen reader: the words beside it do. */
export function Icon({ name, filled }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" data-filled=${filled || undefined}>
    <path d=${PATHS[name]} />
  </svg>`;
}
