import { splitName } from "../lib/text";

/** A file name that is cut in its middle where there is no room; whole in the accessible name and the tooltip. */
export function Name({ name }: { name: string }) {
  const [head, tail] = splitName(name);
  return (
    <span class="name" title={name}>
      <bdi class="front">{head}</bdi>
      {tail && <bdi class="back">{tail}</bdi>}
    </span>
  );
}
