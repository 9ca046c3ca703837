// What could not be read: which file, where it broke off, why, and what can be done about it.
import { Fragment } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { api, type Failure, type Failures, type Problem } from "../api";
import { canAdd, indexing, isRunning, library, numFailures, refreshLibrary, retryFailures } from "../state/library";
import { folderOf } from "../lib/text";
import { reasonOf } from "../state/messages";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Prose } from "./Prose";

/** The failures as they are now: asked for again whenever there are others, and when a job has ended. */
function useFailures(): Failures | null {
  const [found, setFound] = useState<Failures | null>(null);
  const [count, job] = [numFailures.value, indexing.value];
  useEffect(() => {
    let current = true;
    api.failures().then(
      (news) => {
        if (current) setFound(news);
      },
      () => undefined, // the banner says it
    );
    return () => {
      current = false;
    };
  }, [count, job?.id, job?.status]);
  return found;
}

const nameOf = (file: string): string => file.split("/").at(-1) ?? file;

export function ProblemsDialog() {
  const w = words.value;
  const found = useFailures();
  const [wrong, setWrong] = useState("");
  const table = useRef<HTMLDivElement>(null);
  const busy = isRunning(indexing.value);
  const rows = found?.data ?? [];
  const damages = library.value?.problems ?? [];
  useLayoutEffect(() => {
    // Whoever acted on a row that has gone is kept in the dialog.
    if (document.activeElement === document.body) table.current?.focus();
  }, [rows.length]);
  const attempt = async (work: Promise<unknown>): Promise<void> => {
    setWrong("");
    try {
      await work;
    } catch (error) {
      setWrong(reasonOf(error));
    }
  };
  const retry = (ids: string[]): void => void attempt(retryFailures(ids));
  const ignore = (id: string): void => void attempt(api.ignoreFailure(id).then(refreshLibrary));
  const more = (found?.num_failures ?? 0) - rows.length;
  return (
    <Dialog title={w.problemsTitle} wide>
      <div ref={table} class="scroller" tabIndex={0} role="region" aria-label={w.problemsTitle}>
        {rows.length + damages.length > 0 && (
          <table class="rows unread">
            <thead>
              <tr>
                <th scope="col">{w.file}</th>
                <th scope="col">{w.stage}</th>
                <th scope="col">{w.reason}</th>
                <th scope="col">
                  <span class="unseen">{w.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Row key={row.id} problem={row} stage={w.stages[row.stage]}>
                  <Actions row={row} busy={busy} retry={retry} ignore={ignore} />
                </Row>
              ))}
              {damages.map((problem) => (
                <Row key={`${problem.file} ${problem.reason}`} problem={problem} stage={w.stages.index} />
              ))}
            </tbody>
          </table>
        )}
        {found && rows.length + damages.length === 0 && <p>{w.allRead}</p>}
      </div>
      {more > 0 && <p class="hint">{w.moreInTable(more)}</p>}
      {!!found?.num_ignored && (
        <p class="hint">
          <Prose text={w.numIgnored(found.num_ignored)} />
        </p>
      )}
      {wrong && (
        <p class="wrong" role="alert">
          <Prose text={wrong} />
        </p>
      )}
      <div class="row">
        {canAdd.value && rows.length > 0 && (
          <button type="button" class="go" disabled={busy} onClick={() => retry([])}>
            {w.tryAllAgain}
          </button>
        )}
        {rows.length + (found?.num_ignored ?? 0) > 0 && (
          <a href="v1/failures.csv" download>
            {w.downloadTable}
          </a>
        )}
        <span role="status">{busy && w.tryingAgain}</span>
      </div>
    </Dialog>
  );
}

function Row({ problem, stage, children }: { problem: Problem; stage: string; children?: preact.ComponentChildren }) {
  return (
    <tr>
      <th scope="row">
        <bdi>{nameOf(problem.file)}</bdi>
        {folderOf(problem.file) && (
          <small>
            <bdi>
              {folderOf(problem.file)
                .split("/")
                .map((part, index) => (
                  <Fragment key={index}>
                    {index > 0 && "/"}
                    {index > 0 && <wbr />}
                    {part}
                  </Fragment>
                ))}
            </bdi>
          </small>
        )}
      </th>
      <td>{stage}</td>
      <td>
        <Prose text={problem.reason} />
      </td>
      <td>{children}</td>
    </tr>
  );
}

interface ActionsProps {
  row: Failure;
  busy: boolean;
  retry: (ids: string[]) => void;
  ignore: (id: string) => void;
}

function Actions({ row, busy, retry, ignore }: ActionsProps) {
  const w = words.value;
  const name = nameOf(row.file);
  return (
    <div class="row">
      {canAdd.value && (
        <button
          type="button"
          class="small"
          disabled={busy}
          aria-label={`${w.tryAgain}: ${name}`}
          onClick={() => retry([row.id])}
        >
          {w.tryAgain}
        </button>
      )}
      <button
        type="button"
        class="small"
        disabled={busy}
        aria-label={`${w.ignore}: ${name}`}
        onClick={() => ignore(row.id)}
      >
        {w.ignore}
      </button>
    </div>
  );
}
