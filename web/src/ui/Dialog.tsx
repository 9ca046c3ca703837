import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { dialog } from "../state/messages";
import { pause, start } from "../state/player";
import { words } from "../state/settings";
import { Icon } from "./Icon";

interface Props {
  title: string;
  side?: boolean; // a drawer at the edge
  wide?: boolean; // for a table
  cancel?: boolean; // with a button that leaves all as it is
  children: ComponentChildren;
}

/** The browser's own modal dialog: it keeps the focus inside, closes with Escape and gives the focus back. */
export function Dialog({ title, side = false, wide = false, cancel = false, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const from = document.activeElement;
    const shown = element.current;
    const played = pause();
    shown?.showModal();
    const first = shown?.querySelector<HTMLElement>(
      "[autofocus], .sheet-head ~ * :is(input, select, textarea, button:not(:disabled), a[href])",
    );
    first?.focus();
    return () => {
      shown?.close(); // as long as it is open, nothing behind it takes the focus
      if (from instanceof HTMLElement && from.isConnected) from.focus();
      if (played) void start();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={side ? "side" : wide ? "wide" : "middle"}
      aria-labelledby="dialog-title"
      onClose={() => {
        if (element.current) dialog.value = null; // else it is gone already, and another may be open
      }}
      onClick={(event) => {
        if (event.target === element.current) element.current?.close();
      }}
    >
      <div class="sheet">
        <div class="sheet-head">
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="quiet" aria-label={words.value.close} onClick={() => element.current?.close()}>
            <Icon name="close" />
          </button>
        </div>
        {children}
        {cancel && (
          <div class="row end">
            <button type="button" onClick={() => element.current?.close()}>
              {words.value.cancel}
            </button>
          </div>
        )}
      </div>
    </dialog>
  );
}
