import { removeVideo } from "../state/actions";
import { canAdd } from "../state/library";
import { askWhere } from "../state/messages";
import { words } from "../state/settings";

/** What can be done about a video whose file is gone. */
export function MissingActions({ id, name }: { id: string; name: string }) {
  const w = words.value;
  return (
    <div class="row">
      {canAdd.value && (
        <button type="button" class="small" onClick={() => askWhere(id, name)}>
          {w.locate}
        </button>
      )}
      <button type="button" class="small" onClick={() => void removeVideo(id, name)}>
        {w.removeFromIndex}
      </button>
    </div>
  );
}
