// The page before anything is asked: what could be asked here, and what there is.
import { useEffect, useState } from "preact/hooks";
import { api, type Video } from "../api";
import { length } from "../lib/time";
import { goLibrary, playVideo, searchText } from "../state/actions";
import { library } from "../state/library";
import { forget, recent, words } from "../state/settings";
import { Thumb } from "./Card";
import { Icon } from "./Icon";
import { Name } from "./Name";
import { Limits } from "./Limits";
import { box } from "./SearchBox";

const SHOWN = 6;

export function Overview() {
  const w = words.value;
  const shown = library.value;
  const version = shown?.generation ?? "";
  const [newest, longest] = [useVideos("newest", version), useVideos("longest", version)];
  useEffect(() => {
    // Whoever comes here wants to type, unless that opens the keyboard of a phone over the page.
    if (window.matchMedia("(pointer: fine)").matches && document.activeElement === document.body) box.element?.focus();
  }, []);
  if (!shown) return null;
  return (
    <div class="overview">
      <section class="hello">
        <h1>{w.describe}</h1>
        <p>
          {w.describeText(shown.num_videos, length(shown.duration_s))}{" "}
          <button type="button" class="plain" onClick={goLibrary}>
            {w.browseAll}
          </button>
        </p>
      </section>
      {shown.examples.length > 0 && (
        <section aria-labelledby="examples">
          <h2 id="examples">{w.tryOne}</h2>
          <Sentences all={shown.examples} />
        </section>
      )}
      {recent.value.length > 0 && (
        <section aria-labelledby="recent">
          <div class="row between">
            <h2 id="recent">{w.recent}</h2>
            <button type="button" class="plain" onClick={forget}>
              {w.clearRecent}
            </button>
          </div>
          <Sentences all={recent.value.slice(0, 6)} past />
        </section>
      )}
      <Shelf id="newest" title={w.newest} videos={newest} />
      <Shelf id="longest" title={w.longest} videos={longest} />
      <Limits more />
    </div>
  );
}

function useVideos(sort: "newest" | "longest", version: string): Video[] {
  const [videos, setVideos] = useState<Video[]>([]);
  useEffect(() => {
    let current = true;
    api.videos(`limit=${SHOWN}&sort=${sort}`).then(
      ({ data }) => {
        if (current) setVideos(data);
      },
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [sort, version]);
  return videos;
}

function Sentences({ all, past = false }: { all: readonly string[]; past?: boolean }) {
  return (
    <ul class="sentences">
      {all.map((sentence) => (
        <li key={sentence}>
          <button type="button" onClick={() => searchText(sentence)}>
            <Icon name={past ? "clock" : "search"} />
            <bdi>{sentence}</bdi>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Shelf({ id, title, videos }: { id: string; title: string; videos: readonly Video[] }) {
  if (!videos.length) return null;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <ul class="shelf">
        {videos.map((video) => (
          <li key={video.id}>
            <button type="button" aria-label={words.value.openVideo(video.name)} onClick={() => playVideo(video)}>
              <Thumb
                src={video.state === "features_only" ? "" : video.thumbnail_url}
                duration={video.duration_s}
                scrub={["missing", "features_only"].includes(video.state) ? null : video.id}
              />
              <Name name={video.name} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
