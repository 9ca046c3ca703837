import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { dialog } from "../state/messages";
import { words } from "../state/settings";
import { Icon } from "./Icon";

interface Props {
  title: string;
  side?: boolean; // a drawer at the edge
  wide?: boolean; // for a table
  children: ComponentChildren;
}

/** The browser's own modal dialog: it keeps the focus inside, closes with Escape and gives the focus back. */
export function Dialog({ title, side = false, wide = false, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const from = document.activeElement;
    const shown = element.current;
    shown?.showModal();
    return () => {
      shown?.close(); // as long as it is open, nothing behind it takes the focus
      if (from instanceof HTMLElement && from.isConnected) from.focus();
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
      </div>
    </dialog>
  );
}
