// Cividis, the colour ramp that reads the same to people with and without colour blindness, from a tone that still
// stands out from the dark strip up to yellow. Height says the same, so colour is never the only carrier.

export const RAMP = [
  "#46506c",
  "#555b6d",
  "#646770",
  "#737475",
  "#838179",
  "#958f78",
  "#a99e73",
  "#bfae6a",
  "#d8c25a",
  "#fee23e",
] as const;
