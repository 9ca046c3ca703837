// What the model of this library does not know, said where somebody may wonder.
import { library } from "../state/library";
import { words } from "../state/settings";
import { Prose } from "./Prose";

export function Limits({ more = false }: { more?: boolean }) {
  const w = words.value;
  const encoder = library.value?.encoder;
  if (!encoder?.limits) return null;
  const other = more && encoder.name !== "world" ? ` ${w.modelOther}` : "";
  return (
    <p class="hint limits">
      <Prose text={`${w.modelLimits(encoder.name, encoder.limits)}${other}`} />
    </p>
  );
}
