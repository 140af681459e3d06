@echo off
rem The command of the installed version. Python heeds neither the folder it is called in nor its environment.
setlocal
if not defined TILLSIDE_CONFIG set "TILLSIDE_CONFIG=%ProgramData%\Tillside\tillside.toml"
"%~dp0@VERSION@\python\python.exe" -B -m agent.cli.entry %*
