"""Language models behind `ports.LanguageModel`."""
