// What each word of a question gives the best moment of the open video; asked for while somebody looks at it.
import { computed, effect, signal } from "@preact/signals";
import { api, type Why } from "../api";
import { reasonOf } from "./messages";
import { inside, opened } from "./player";

export const looking = signal(false);
export const found = signal<Why | null>(null);
export const trouble = signal("");

const video = computed(() => opened.value?.id ?? "");
const question = computed(() => inside.value?.query ?? opened.value?.question ?? ""); // what the strip shows

effect(() => {
  const [id, q] = [video.value, question.value];
  if (!looking.value || !id || !q) return;
  const mine = new AbortController();
  [found.value, trouble.value] = [null, ""];
  api.why(id, q, mine.signal).then(
    (answer) => {
      if (!mine.signal.aborted) found.value = answer;
    },
    (error: unknown) => {
      if (!mine.signal.aborted) trouble.value = reasonOf(error);
    },
  );
  return () => mine.abort();
});
