import { isLoopback, library } from "../state/library";
import { dialog } from "../state/messages";
import { answer } from "../state/search";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";

export function Footer() {
  const w = words.value;
  const shown = library.value;
  const problems = shown?.problems.length ?? 0;
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

export function ProblemsDialog() {
  const w = words.value;
  return (
    <Dialog title={w.problemsTitle}>
      <div class="scroller" tabIndex={0} role="region" aria-label={w.problemsTitle}>
        <table class="rows">
          <thead>
            <tr>
              <th scope="col">{w.file}</th>
              <th scope="col">{w.reason}</th>
            </tr>
          </thead>
          <tbody>
            {library.value?.problems.map(({ file, reason }) => (
              <tr key={file}>
                <th scope="row">
                  <bdi>{file}</bdi>
                </th>
                <td>{reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Dialog>
  );
}
