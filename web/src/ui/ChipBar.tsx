// Below the box: what limits the search, each part removable, and how many videos are asked.
import { chips, without, type Channel } from "../lib/query";
import { trace } from "../state/origin";
import { stepName } from "../lib/text";
import { length } from "../lib/time";
import { spanName, forgetAside, goHome, searchText } from "../state/actions";
import * as search from "../state/search";
import { words } from "../state/settings";
import { Icon } from "./Icon";

function Chip({ text, name, remove }: { text: string; name: string; remove: () => void }) {
  return (
    <li class="chip">
      <bdi>{text}</bdi>
      <button type="button" aria-label={words.value.removeChip(name)} onClick={remove}>
        <Icon name="close" />
      </button>
    </li>
  );
}

/** `path:a b` -> its key and what follows. */
const splitAt = (text: string): [string, string] => {
  const at = text.indexOf(":");
  return [text.slice(0, at), text.slice(at + 1)];
};

export function ChipBar() {
  const w = words.value;
  const question = search.asked.value;
  const answer = search.answer.value;
  const unknown = answer?.unknown_words ?? [];
  const shown = [];
  if (question?.kind === "text") {
    for (const chip of chips(question.q)) {
      const [key = "", value] = chip.kind === "not" ? ["-", chip.text.slice(1)] : splitAt(chip.text);
      const only = chip.kind === "channel" ? w.onlyChannel[key.toLowerCase() as Channel] : "";
      const text = only || w.limit(key.toLowerCase(), value.replaceAll('"', ""));
      const remove = (): void => searchText(without(question.q, chip));
      shown.push(<Chip key={chip.text} text={text} name={chip.text} remove={remove} />);
    }
    if (question.aside.length) {
      const text = w.notThis(question.aside.length);
      shown.push(<Chip key="aside" text={text} name={text} remove={forgetAside} />);
    }
  } else if (question) {
    const text =
      question.kind === "like" ? w.likeChip(question.name, spanName(question.like)) : w.imageChip(question.name);
    shown.push(<Chip key="other" text={text} name={text} remove={goHome} />);
  }
  const steps = question?.kind === "text" ? (answer?.parsed.steps ?? []) : [];
  const notes = search.settled.value ? (answer?.notes ?? []) : [];
  const doubts = unknown.length > 0 && search.settled.value;
  if (!shown.length && steps.length < 2 && !doubts && !notes.length) return null;
  return (
    <section class="chipbar" aria-label={w.thisSearch}>
      {steps.length > 1 && <Steps steps={steps} within={answer?.parsed.within_s ?? []} />}
      <ul class="chips" aria-label={w.chips}>
        {shown}
      </ul>
      {question?.kind === "image" && (
        <button type="button" class="small" onClick={() => void trace(question.image, question.name)}>
          {w.originAsk}
        </button>
      )}
      {doubts && (
        <p class="unknown" role="status">
          {(answer?.understood ? w.unknownWords : w.allUnknown)(unknown.map((word) => `“${word}”`).join(", "))}
        </p>
      )}
      {notes.map((note) => (
        <p key={note} class="unknown" role="status">
          {note}
        </p>
      ))}
    </section>
  );
}

/** The order of time that the search has understood. */
function Steps({ steps, within }: { steps: readonly string[]; within: readonly (number | null)[] }) {
  const w = words.value;
  return (
    <ol class="chips understood" aria-label={w.steps}>
      {steps.map((step, index) => {
        const soon = index ? within[index - 1] : null;
        return (
          <li key={step} class="chip">
            <span class="nth">{stepName(index)}</span>
            <bdi>{step}</bdi>
            {soon != null && <small>{w.withinS(length(soon))}</small>}
          </li>
        );
      })}
    </ol>
  );
}
