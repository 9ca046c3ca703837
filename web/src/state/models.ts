// The models that can be chosen for a new library, and the one that is being fetched.
import { computed, signal } from "@preact/signals";
import { api, type Job, type Model } from "../api";
import { ended, follow } from "../jobs";
import { reasonOf } from "./messages";

export const models = signal<Model[] | null>(null);
export const coming = signal<Job | null>(null);
export const modelTrouble = signal("");
export const chosenModel = computed(() => models.value?.find((model) => model.chosen && model.here)?.name ?? null);

export async function refreshModels(): Promise<void> {
  try {
    const found = await api.models();
    models.value = found.data;
    if (found.coming && !coming.value) hear(found.coming);
  } catch (error) {
    modelTrouble.value = reasonOf(error);
  }
}

function hear(job: Job): void {
  follow(job, (news) => {
    coming.value = ended(news) ? null : news;
    if (news.status === "failed") modelTrouble.value = news.error?.message ?? "";
    if (ended(news)) void refreshModels();
  });
}

/** Use a model from now on: a known one, which is fetched if it has to be, or one in a folder. */
export async function bring(order: { name: string } | { path: string }): Promise<void> {
  modelTrouble.value = "";
  hear(await api.bringModel(order));
}

export async function stopBringing(): Promise<void> {
  const job = coming.value;
  if (job) await api.cancel(job.id).catch(() => undefined);
}
