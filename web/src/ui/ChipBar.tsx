// Below the box: what limits the search, each part removable, and how many videos are asked.
import { chips, without } from "../lib/query";
import { spanName, forgetAside, goHome, searchText } from "../state/actions";
import { library } from "../state/library";
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

export function ChipBar() {
  const w = words.value;
  const question = search.asked.value;
  const answer = search.answer.value;
  const unknown = answer?.unknown_words ?? [];
  const shown = [];
  if (question?.kind === "text") {
    for (const chip of chips(question.q)) {
      const text = chip.kind === "not" ? `− ${chip.text.slice(1).replaceAll('"', "")}` : chip.text.replaceAll('"', "");
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
  const all = answer?.num_videos ?? library.value?.num_videos ?? 0;
  return (
    <section class="chipbar" aria-label={w.thisSearch}>
      <ul class="chips" aria-label={w.chips}>
        {shown}
      </ul>
      {unknown.length > 0 && search.settled.value && (
        <p class="unknown" role="status">
          {w.unknownWords(unknown.map((word) => `“${word}”`).join(", "))}
        </p>
      )}
      {all > 0 && <p class="count">{w.asked(answer?.num_asked ?? all, all)}</p>}
    </section>
  );
}
