// Is the server there, and does it let us in?
import { effect, signal } from "@preact/signals";
import { api, watch } from "../api";

const RETRY_S = 5;

export const gone = signal(false);
export const locked = signal(false);
export const retryIn = signal(RETRY_S);

/** Called once the server answers again. */
let onReturn: () => void = () => undefined;
export const whenBack = (then: () => void): void => {
  onReturn = then;
};

watch((error) => {
  if (error?.status === 0) gone.value = true;
  else if (gone.value) {
    gone.value = false;
    onReturn();
  }
  if (error?.status === 401) locked.value = true;
});

export const retry = async (): Promise<void> => {
  retryIn.value = RETRY_S;
  await api.alive().catch(() => undefined); // `watch` hears the answer
};

effect(() => {
  if (!gone.value) return;
  retryIn.value = RETRY_S;
  const timer = window.setInterval(() => {
    if (retryIn.peek() > 1) retryIn.value -= 1;
    else void retry();
  }, 1000);
  return () => clearInterval(timer);
});
