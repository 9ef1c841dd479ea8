// What reviewers say of moments of a recording.
import { moment } from "./recordings.js";
import { duration, html, useState } from "./ui.js";

function Comment({ each, jump, change }) {
  const [text, edit] = useState(null);
  const save = (event) => {
    event.preventDefault();
    change("PUT", `/${each.id}`, { text }).then((done) => done && edit(null));
  };
  return html`<li>
    <p><button type="button" class="plain at time" onClick=${() => jump(each.at)}>${duration(each.at)}</button>
      <strong><bdi>${each.name}</bdi></strong> <span class="faint">${moment(each.created_at)}${each.edited_at ? ", edited" : ""}</span></p>
    ${text === null ? html`<p class="said" dir="auto">${each.text}</p>` : html`<form onSubmit=${save}><label class="field"><span class="sr">Comment</span>
      <textarea rows="2" maxlength="2000" value=${text} onInput=${(event) => edit(event.currentTarget.value)}></textarea></label>
      <div class="buttons"><button type="submit" disabled=${!text.trim()}>Save</button><button type="button" onClick=${() => edit(null)}>Cancel</button></div></form>`}
    ${each.own && text === null && html`<p class="own"><button type="button" class="plain" aria-label=${`Edit the comment at ${duration(each.at)}`} onClick=${() => edit(each.text)}>Edit</button>
      <button type="button" class="plain" aria-label=${`Delete the comment at ${duration(each.at)}`} onClick=${() => change("DELETE", `/${each.id}`)}>Delete</button></p>`}
  </li>`;
}

export function Comments({ comments, player, change }) {
  const [text, say] = useState("");
  const [at, keep] = useState(null); // the moment at which somebody began to write, however long he writes
  const write = (next) => {
    if (!next) keep(null);
    else if (at === null) keep(player.time);
    say(next);
  };
  const submit = (event) => {
    event.preventDefault();
    if (text.trim()) change("POST", "", { at: Number((at ?? player.time).toFixed(1)), text }).then((done) => done && write(""));
  };
  return html`<section class="box comments" aria-label="Comments"><h2>Comments</h2>
    ${comments.length ? html`<ul>${comments.map((each) => html`<${Comment} key=${each.id} each=${each} jump=${(at) => player.seek(at)} change=${change} />`)}</ul>` : html`<p class="faint">Nobody has said anything yet.</p>`}
    <form onSubmit=${submit}><label class="field"><span>Comment at ${duration(at ?? player.time)}</span>
      <textarea id="comment" rows="2" maxlength="2000" value=${text} onInput=${(event) => write(event.currentTarget.value)}
        onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}></textarea></label>
      <button type="submit" disabled=${!text.trim()}>Comment</button></form>
  </section>`;
}
