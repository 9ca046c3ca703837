import { removeVideo } from "../state/actions";
import { dialog, leaving } from "../state/messages";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";

/** Taking a video out cannot be undone here, so it is asked first. */
export function RemoveDialog() {
  const w = words.value;
  const hit = leaving.value;
  if (!hit) return null;
  const remove = (): void => {
    dialog.value = null;
    void removeVideo(hit.video_id, hit.name);
  };
  return (
    <Dialog title={w.removeFromIndex}>
      <p>{w.removeText(hit.name)}</p>
      <div class="row">
        <button type="button" class="go" onClick={remove}>
          {w.removeFromIndex}
        </button>
        <button type="button" onClick={() => (dialog.value = null)}>
          {w.cancel}
        </button>
      </div>
    </Dialog>
  );
}
