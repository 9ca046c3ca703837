import type { Confidence } from "../api";
import { words } from "../state/settings";
import { Shape, whyOf, wordOf } from "./Confidence";
import { Dialog } from "./Dialog";

const KINDS: readonly Confidence[] = ["confident", "related", "nothing found", "not calibrated"];

export function HelpDialog() {
  const w = words.value;
  return (
    <Dialog title={w.help}>
      <section>
        <h3>{w.queryHelp}</h3>
        <table class="rows">
          <tbody>
            {w.queryRows.map(([query, meaning]) => (
              <tr key={query}>
                <th scope="row">
                  <code>{query}</code>
                </th>
                <td>{meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <section>
        <h3>{w.confidenceHelp}</h3>
        <dl class="kinds">
          {KINDS.map((kind) => (
            <div key={kind}>
              <dt>
                {kind !== "not calibrated" && <Shape sure={kind} />} {wordOf(kind, w)}
              </dt>
              <dd>{whyOf(kind, w)}</dd>
            </div>
          ))}
        </dl>
      </section>
      <section>
        <h3>{w.shortcuts}</h3>
        <dl class="keys">
          {w.keys.map(([key, meaning]) => (
            <div key={key}>
              <dt>
                {key.split("  ").map((part) => (
                  <kbd key={part}>{part}</kbd>
                ))}
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </section>
    </Dialog>
  );
}
