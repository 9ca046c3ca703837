"""The five verbs, and the engines behind them."""
