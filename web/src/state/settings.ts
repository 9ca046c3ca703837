// What the user chose, kept in this browser.
import { computed, effect, signal } from "@preact/signals";
import { LANGUAGES, type Language } from "../strings";

export interface Settings {
  theme: "auto" | "light" | "dark" | "contrast";
  language: Language;
  line: "strict" | "normal" | "all"; // what stands above the confident line
  autoplay: boolean;
  loop: boolean;
  singleKeys: boolean;
  live: boolean; // search when typing pauses, not only on Enter
  fold: boolean; // copies under the best of them
  view: "list" | "grid";
}

const SETTINGS = "prvr.settings";
const HISTORY = "prvr.history";
const KEPT = 20;

const usual = (): Settings => ({
  theme: "auto",
  language: navigator.language.toLowerCase().startsWith("de") ? "de" : "en",
  line: "normal",
  autoplay: false,
  loop: false,
  singleKeys: true,
  live: false,
  fold: true,
  view: "list",
});

function read<T>(key: string, fallback: T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "null");
    return value === null ? fallback : (value as T);
  } catch {
    return fallback; // storage is switched off, or holds something else
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // storage is switched off: the choice holds until the page is closed
  }
}

export const settings = signal<Settings>({ ...usual(), ...read<Partial<Settings>>(SETTINGS, {}) });

/** The words of the page in the chosen language. */
export const words = computed(() => (LANGUAGES[settings.value.language] ?? LANGUAGES.en).strings);

export function change(patch: Partial<Settings>): void {
  settings.value = { ...settings.value, ...patch };
  write(SETTINGS, settings.value);
}

export const filtersOpen = signal(false);

export const recent = signal<string[]>(read<string[]>(HISTORY, []));

export function remember(query: string): void {
  recent.value = [query, ...recent.value.filter((old) => old !== query)].slice(0, KEPT);
  write(HISTORY, recent.value);
}

export function forget(): void {
  recent.value = [];
  write(HISTORY, []);
}

effect(() => {
  document.documentElement.dataset["theme"] = settings.value.theme;
  document.documentElement.lang = settings.value.language;
});

const asksFor = (query: string): boolean => window.matchMedia(query).matches;
export const lessMotion = (): boolean => asksFor("(prefers-reduced-motion: reduce)");
export const lessData = (): boolean => asksFor("(prefers-reduced-data: reduce)");
