// What is shown to who has no token, or one that is not believed any more.
import { html, useState } from "./ui.js";

export function SignIn({ desk, what }) {
  const [token, setToken] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (!token.trim()) return;
    sessionStorage.setItem("ccwhisper.token", token.trim());
    desk.connect(token.trim());
  };
  return html`<main class="signin">
    <h1>ccwhisper</h1>
    ${desk.refusal
      ? html`<p role="alert" class="notice" data-bad>${desk.refusal.message}</p>`
      : html`<p>Your organisation's sign-in opens this ${what}. With a token of your own, paste it here.</p>`}
    <form onSubmit=${submit}>
      <label class="field"><span>Token</span>
        <input type="password" autocomplete="off" spellcheck="false" value=${token} onInput=${(event) => setToken(event.currentTarget.value)} />
      </label>
      <button type="submit">Sign in</button>
    </form>
  </main>`;
}
