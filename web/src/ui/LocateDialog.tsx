import { locateVideo } from "../state/actions";
import { dialog, lost } from "../state/messages";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { PathForm } from "./PathForm";

/** Where a video lies now that is not where it was. */
export function LocateDialog() {
  const w = words.value;
  const what = lost.value;
  if (!what) return null;
  const send = async (path: string): Promise<void> => {
    await locateVideo(what.id, path);
    dialog.value = null;
    requestAnimationFrame(() => {
      // The button that opened this is gone with what it was for: the result itself gets the focus.
      if (document.activeElement !== document.body) return;
      document.querySelector<HTMLElement>(`[data-video="${CSS.escape(what.id)}"] h2 a`)?.focus();
    });
  };
  return (
    <Dialog title={w.locateTitle(what.name)}>
      <PathForm label={w.locateLabel} hint={w.locateHint} action={w.locateAction} send={send} focus />
    </Dialog>
  );
}
