# Not now, while the user has asked for that: by a file that they write, for example
# with a shortcut on their desktop. After $hours the file counts no more.
$flag = 'C:\ProgramData\regild\not-now'
$hours = 8

$ErrorActionPreference = 'Stop'
trap { "postpone: $_"; exit 1 }

if (-not (Test-Path -LiteralPath $flag)) { exit 0 }
$age = (Get-Date) - (Get-Item -LiteralPath $flag -Force).LastWriteTime
if ($age.TotalHours -lt $hours) {
    'the user asked for later {0:N0} minutes ago' -f $age.TotalMinutes
    exit 75
}
exit 0
