"""A driver whose encoder ends its process when a video is four seconds long: what it makes is printed as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from prvr.cluster.reading import RayWorkers
from prvr.encoders.world import load_world_encoder
from prvr.features.extract import extract


def main(on: str, root: str, out: str, deaths: str, decoders: str) -> None:
    """Loaded by name on workers it would have to be installed there; made in here, it travels whole."""

    def load() -> Any:
        encoder: Any = load_world_encoder()
        encode = encoder.encode_images

        def dies(images: Any) -> Any:
            if len(images) == 4:
                with Path(deaths).open("a") as file:
                    file.write("died\n")
                os.kill(os.getpid(), signal.SIGKILL)
            return encode(images)

        encoder.encode_images = dies
        return encoder

    place = RayWorkers(on=on, load=load, workers=1 if decoders != "0" else None, decoders=int(decoders))
    done = extract([Path(root)], load_world_encoder(), Path(out), place=place)
    print(json.dumps({"made": sorted(done.made), "failed": list(done.failed.values())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
