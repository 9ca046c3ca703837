import { render } from "preact";
import { listen } from "./keyboard";
import { begin } from "./state/actions";
import "./style/tokens.css";
import "./style/base.css";
import "./style/top.css";
import "./style/results.css";
import "./style/player.css";
import "./style/states.css";
import "./style/floating.css";
import { App } from "./ui/App";

const root = document.getElementById("app");
if (root) render(<App />, root);
listen();
begin();
