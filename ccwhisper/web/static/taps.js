// Who listens to a call, and may be heard on it, by other means than this service.
import { Icon, html } from "./ui.js";

/** A tap in words; what the switch knows of whoever it is, is text. */
export function tapped(tap) {
  const who = tap.who || "Somebody";
  return tap.kind === "other_installation" ? `${who} coaches it by another ccwhisper` : `${who} listens to it, not by ccwhisper, and may be heard`;
}

export function Taps({ desk }) {
  const calls = [...desk.calls.values()].filter((call) => call.taps.length);
  return html`<section class=${calls.length ? "hands" : "sr"} role="status" aria-label="Calls that somebody else listens to">
    ${calls.flatMap((call) => call.taps.map((tap, at) => html`<div class="hand tap" key="${call.id} ${tap.leg ?? at}">
      <${Icon} name="listen" />
      <p class="grow"><strong>The call of ${call.agents.map((each) => each.name).join(" and ")} is tapped.</strong> <bdi>${tapped(tap)}</bdi>
        <span class="faint"> ${tap.on === null ? "on the other party's leg" : "on the agent's leg"}${tap.leg ? ` · ${tap.leg}` : ""}</span></p>
    </div>`))}
  </section>`;
}
