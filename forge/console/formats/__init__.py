"""How the console writes times: the setting FORMAT_MODULE_PATH names this package."""
