import { goLibrary } from "../state/actions";
import { isLoopback, library, numFailures } from "../state/library";
import { dialog } from "../state/messages";
import { words } from "../state/settings";
import { Icon } from "./Icon";

export function Footer() {
  const w = words.value;
  const shown = library.value;
  const problems = (shown?.problems.length ?? 0) + numFailures.value;
  return (
    <footer class="foot" aria-label={w.status}>
      {shown && (
        <button type="button" class="plain" onClick={goLibrary}>
          {w.inLibrary(shown.num_videos)}
        </button>
      )}
      {problems > 0 && (
        <button type="button" class="plain" onClick={() => (dialog.value = "problems")}>
          {w.problems(problems)}
        </button>
      )}
      <span class="private">
        <Icon name="lock" />
        {isLoopback ? w.private : w.privateRemote}
      </span>
    </footer>
  );
}
