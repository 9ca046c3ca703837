// A path on the machine of the server, typed in; says in the server's words what is wrong with it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { reasonOf } from "../state/messages";
import { Prose } from "./Prose";

interface Props {
  id?: string;
  label: string;
  hint: string;
  action: string;
  first?: string | null; // what stands in it at first
  focus?: boolean; // in a dialog: here it begins
  typed?: Typed; // where something else than typing changes the path as well
  send: (path: string) => Promise<void>;
  children?: ComponentChildren;
}

/** What was typed, and what is wrong with it. */
export function useTyped(first = "") {
  const [path, setPath] = useState(first);
  const [wrong, setWrong] = useState("");
  const strokes = useRef(0); // changes by hand: what was asked for before one must not replace it
  return { path, setPath, wrong, setWrong, strokes };
}

type Typed = ReturnType<typeof useTyped>;

export function PathForm({ id = "path", label, hint, action, first, focus = false, typed, send, children }: Props) {
  const own = useTyped(first ?? "");
  const { path, setPath, wrong, setWrong, strokes } = typed ?? own;
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (focus) field.current?.focus();
  }, []);
  const submit = async (): Promise<void> => {
    setBusy(true);
    setWrong("");
    try {
      await send(path.trim());
    } catch (error) {
      setWrong(reasonOf(error));
    }
    setBusy(false);
  };
  return (
    <form
      class="folder-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (path.trim() && !busy) void submit();
      }}
    >
      <label for={id}>{label}</label>
      <div class="row">
        <input
          ref={field}
          id={id}
          type="text"
          value={path}
          autofocus={focus}
          spellcheck={false}
          autocomplete="off"
          aria-describedby={wrong ? `${id}-wrong` : `${id}-hint`}
          aria-invalid={wrong !== ""}
          onInput={(event) => {
            strokes.current += 1;
            setPath(event.currentTarget.value);
          }}
        />
        <button type="submit" class="go" disabled={busy || !path.trim()}>
          {action}
        </button>
      </div>
      {wrong ? (
        <p id={`${id}-wrong`} class="wrong" role="alert">
          <Prose text={wrong} />
        </p>
      ) : (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
      {children}
    </form>
  );
}
