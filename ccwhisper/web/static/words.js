// What states, ends and refusals are called on the pages.

export const MODES = {
  listen: { name: "Listen", doing: "Listening", hint: "You hear both. Nobody hears you." },
  whisper: { name: "Whisper", doing: "Whispering", hint: "The agent hears you. The caller does not." },
  barge: { name: "Barge in", doing: "Barged in", hint: "Agent and caller hear you." },
};

/** Who hears the coach now, by the gate that the switch has confirmed. */
export function heardBy(desk, session) {
  if (!desk.sure()) return "Not known who hears you";
  const agent = session.agent_name || session.agent;
  if (session.gate === "agent") return `${agent} hears you`;
  if (session.gate === "everyone") return `${agent} and the caller hear you`;
  return "Nobody hears you";
}

/** How far a session has come, in words. */
export function stage(desk, session) {
  if (!desk.sure()) return "No connection. To be sure that nobody hears you, hang up.";
  const browser = session.device.endsWith("@browser.invalid");
  const device = session.device.replace(/@.*/, "");
  switch (session.phase) {
    case "dialling":
      return browser ? "Connecting this browser …" : `Calling your phone ${device} …`;
    case "ringing":
      return browser ? "This browser answers …" : `Your phone ${device} rings: pick it up`;
    case "connected":
    case "attaching":
      return `Connecting to ${session.agent_name} …`;
    case "waiting":
      return `${session.agent_name} has no call; you are silent until the next one`;
    case "taking_over":
      return "Taking the call over …";
    case "ending":
      return "Leaving …";
    default:
      if (session.held) return "Your own phone is on hold: nobody hears you";
      if (session.wanted !== session.mode) return `${MODES[session.wanted].name} follows as soon as the call is settled`;
      if (session.mode === "listen") return MODES.listen.hint;
      if (session.muted) return "You are muted.";
      if (session.talk === "push" && session.gate === "closed") {
        return session.mode === "whisper" ? "Hold the key to speak to the agent alone." : "Hold the key to speak to agent and caller.";
      }
      return MODES[session.mode].hint;
  }
}

const ENDS = {
  coach_left: "You have left.",
  call_ended: "The call is over.",
  took_over: "The call is yours. The agent has been released.",
  taken_over: "A colleague has taken the call over.",
  busy: "Your phone is busy.",
  refused: "Your phone refused the call.",
  no_answer: "Your phone was not answered.",
  cancelled: "The call to your phone was cancelled.",
  device_not_registered: "Your phone is not registered at the switch.",
  device_unreachable: "Your phone cannot be reached.",
  device_codecs: "Your phone has no codec that this call needs.",
  codec_mismatch: "The call changed to a codec that does not go with your phone's.",
  media_not_in_switch: "This call's audio does not pass through the switch.",
  attach_failed: "The switch could not connect you to the call.",
  take_over_failed: "The call could not be taken over.",
  switch_refused: "The switch refused.",
  permission_missing: "You may not listen to this call.",
  queue_out_of_scope: "The call moved to a queue that is not yours.",
  mode_not_allowed: "The queue does not allow coaching.",
  too_many_coaches: "The call has as many coaches as its queue allows.",
  lost: "The connection to the switch was lost.",
};

/** Why a session ended. */
export function ending(reason) {
  return ENDS[reason] ?? `The session has ended (${reason}).`;
}

export const GOOD_ENDS = new Set(["coach_left", "call_ended", "took_over", "taken_over"]);

export const REPLIES = { got_it: "Got it", repeat: "Please repeat", need_you: "I need you" };

/** How far a cue has come: each step with its time. */
export function cueSteps(cue) {
  const steps = [["Sent", cue.sent_at], ["Delivered", cue.delivered_at], ["Read", cue.read_at], [REPLIES[cue.reply], cue.replied_at]];
  return steps.filter(([, at]) => at);
}

const OBSTACLES = { media_not_in_switch: "its audio bypasses the switch" };

/** Why this call cannot be coached this way (listen, whisper, barge, take_over) by anybody; null when it can. The
 *  service decides: to say it beforehand only spares a refusal. */
export function hindrance(desk, call, way) {
  if (call.obstacle) return `This call cannot be coached: ${OBSTACLES[call.obstacle] ?? call.obstacle}.`;
  if (!desk.allows(call.queue, "listen")) return "The queue does not allow coaching.";
  if (!desk.allows(call.queue, way)) return "The queue does not allow this.";
  return null;
}

export const BUSY = "You are coaching already: leave first.";

/** A caller as text: what a stranger wrote stays text. */
export function party(call) {
  if (call.name && call.name !== call.number) return { main: call.name, more: call.number };
  return { main: call.number || "number withheld", more: "" };
}

/** What an agent does, in words and a shape. Somebody on a call is that first, whatever his status. */
export function presence(agent, call) {
  if (call || agent.state === "in_a_queue_call") {
    return { name: "call", text: "On a call", more: agent.status === "on_break" ? "then a break" : agent.status === "logged_out" ? "then gone" : "" };
  }
  switch (agent.status) {
    case "available":
    case "available_on_demand":
      if (agent.state === "receiving") return { name: "ringing", text: "Ringing", more: "" };
      if (agent.state === "idle") return { name: "out", text: "Gets no calls", more: "" };
      return { name: "available", text: "Available", more: agent.status === "available" ? "" : "for one call" };
    case "on_break":
      return { name: "break", text: "On break", more: "" };
    case "logged_out":
      return { name: "out", text: "Logged out", more: "" };
    default:
      return { name: "unknown", text: "No status", more: "" };
  }
}

/** A caller who waits, as text. */
export const waiter = (caller) => party({ name: caller.name, number: caller.number });
