// The server does not let us in, or is not there.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { api, ApiError } from "../api";
import { locked, retry, retryIn } from "../state/connection";
import { reasonOf } from "../state/messages";
import { words } from "../state/settings";
import { Icon } from "./Icon";
import { Prose } from "./Prose";

export function Gone() {
  const w = words.value;
  return (
    <div class="gone-banner" role="alert">
      <p>
        <strong>{w.gone}</strong> <span aria-hidden="true">{w.goneRetry(retryIn.value)}</span>
      </p>
      <button type="button" class="small" onClick={() => void retry()}>
        {w.retryNow}
      </button>
    </div>
  );
}

export function TokenForm({ onIn }: { onIn: () => void }) {
  const w = words.value;
  const [token, setToken] = useState("");
  const [wrong, setWrong] = useState("");
  const linked = new URLSearchParams(location.search).has("token"); // and yet we were not let in
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const send = async (): Promise<void> => {
    try {
      await api.signIn(token.trim());
      locked.value = false;
      onIn();
    } catch (error) {
      const known = error instanceof ApiError && error.status === 401;
      setWrong(known ? w.tokenWrong : reasonOf(error));
      field.current?.select();
    }
  };
  return (
    <form
      class="token"
      aria-labelledby="token-title"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) void send();
      }}
    >
      <Icon name="lock" />
      <h1 id="token-title">{w.tokenTitle}</h1>
      <p>
        <Prose text={linked ? w.tokenSpent : w.tokenText} />
      </p>
      <p>
        <Prose text={w.tokenElse} />
      </p>
      <label for="token">{w.token}</label>
      <input
        ref={field}
        id="token"
        type="password"
        autocomplete="current-password"
        value={token}
        aria-invalid={wrong !== ""}
        aria-describedby={wrong ? "token-wrong" : undefined}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      {wrong && (
        <p id="token-wrong" class="wrong" role="alert">
          {wrong}
        </p>
      )}
      <button type="submit" class="go">
        {w.unlock}
      </button>
    </form>
  );
}
