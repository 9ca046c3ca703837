import { isLoopback, library, numFailures } from "../state/library";
import { dialog } from "../state/messages";
import { answer } from "../state/search";
import { words } from "../state/settings";
import { Icon } from "./Icon";

export function Footer() {
  const w = words.value;
  const shown = library.value;
  const problems = (shown?.problems.length ?? 0) + numFailures.value;
  const all = (shown?.num_videos ?? 0) + problems;
  return (
    <footer class="foot" aria-label={w.status}>
      {shown && <span>{w.indexed(shown.num_videos, all)}</span>}
      {problems > 0 ? (
        <button type="button" class="plain" onClick={() => (dialog.value = "problems")}>
          {w.problems(problems)}
        </button>
      ) : (
        shown && <span class="least">{w.problems(0)}</span>
      )}
      {answer.value && <span class="least">{w.queryTime(answer.value.usage.time_ms)}</span>}
      {shown && <span class="least">{w.modelIs(shown.model)}</span>}
      <span class="private">
        <Icon name="lock" />
        {isLoopback ? w.private : w.privateRemote}
      </span>
    </footer>
  );
}
