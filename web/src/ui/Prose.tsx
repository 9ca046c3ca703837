/** A sentence of the server: what stands in `backticks` is a command. */
export function Prose({ text }: { text: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 ? <code key={part}>{part}</code> : part))}</>;
}
