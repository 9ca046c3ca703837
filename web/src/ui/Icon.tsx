// The drawings on buttons: one stroke width, 20 units square.

const PATHS = {
  search: "M9 15.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM13.8 13.8 18 18",
  image: "M3 4.5h14v11H3zM3 13l4-4 4 4 2.5-2.5L17 14M13 8h.01",
  then: "M3 6h9M3 6v8h9M10 11l3 3-3 3M15.5 3.5v5M13 6h5",
  settings: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.6 2.2c-.7.4-1.1.9-1.1 1.8M10 14.5h.01M10 18a8 8 0 1 0 0-16 8 8 0 0 0 0 16z",
  close: "M5 5l10 10M15 5 5 15",
  more: "M9.400 4.500h1.200v1.200h-1.200zM9.400 9.400h1.200v1.200h-1.200zM9.400 14.300h1.200v1.200h-1.200z",
  play: "M6 4l10 6-10 6z",
  pause: "M7 4v12M13 4v12",
  previous: "M5 4v12M15 4.5 8 10l7 5.5z",
  next: "M15 4v12M5 4.5 12 10l-7 5.5z",
  loop: "M4 10V8a3 3 0 0 1 3-3h8M13 2.5 15.5 5 13 7.5M16 10v2a3 3 0 0 1-3 3H5M7 12.5 4.5 15 7 17.5",
  sound: "M3 8v4h3l4 3.5v-11L6 8zM13 7.5a3.5 3.5 0 0 1 0 5M15 5a7 7 0 0 1 0 10",
  silent: "M3 8v4h3l4 3.5v-11L6 8zM13 8l4 4M17 8l-4 4",
  full: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  small: "M7 3v4H3M17 7h-4V3M13 17v-4h4M3 13h4v4",
  subtitles: "M3 5h14v10H3zM6 11h4M12.5 11H14M6 8.5h1.5M10 8.5h4",
  alike: "M3 3h6v6H3zM11 11h6v6h-6zM14 3v6M11 6h6M3 14h6",
  aside: "M10 18a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM4.5 4.5l11 11",
  export: "M10 12.5V3M6.5 6.5 10 3l3.5 3.5M4 11v6h12v-6",
  link: "M8.5 11.5a3 3 0 0 0 4.2 0l3-3a3 3 0 0 0-4.2-4.2l-1 1M11.5 8.5a3 3 0 0 0-4.2 0l-3 3a3 3 0 0 0 4.2 4.2l1-1",
  path: "M3 5h5l2 2h7v9H3z",
  remove: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  grid: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  list: "M3 5h14M3 10h14M3 15h14",
  down: "M5 8l5 5 5-5",
  clock: "M10 18a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM10 5.5V10l3 2",
  lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  folder: "M2.5 5h5.5l2 2h7.5v9h-15z",
  library: "M3 4h4v12H3zM8.5 4h3v12h-3zM13 4.800l3-.8 2.500 11.500-3 .8z",
  filter: "M3 5h14M5.500 10h9M8.500 15h3",
  saved: "M5.500 3h9v14.500L10 13.500l-4.500 4z",
  window: "M9 4H4v12h12v-5M11.500 3H17v5.500M17 3l-7.500 7.500",
  up: "M5 12l5-5 5 5",
  inside: "M3 4h14M3 8h6M3 12h5M12.5 15.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM14.7 14.7 17.5 17.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, solid = false }: { name: IconName; solid?: boolean }) {
  return (
    <svg class={solid ? "icon solid" : "icon"} viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Three bars and the bracket of a moment. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path class="low" d="M1 16h3v4H1zM20 17h3v3h-3z" />
      <path class="mid" d="M6.500 11h3v9h-3zM15.500 13h3v7h-3z" />
      <path class="high" d="M11 5h3v15h-3z" />
      <path class="bracket" d="M8 2H5v4M17 2h3v4" />
    </svg>
  );
}
