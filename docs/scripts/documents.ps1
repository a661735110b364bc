# Not now, while a document is open: a program of $programs runs, or Office's lock
# file (~$name) lies beside a document below $root.
$root = 'C:\Users'
$programs = 'winword', 'excel', 'powerpnt', 'notepad'

$ErrorActionPreference = 'Stop'
trap { "documents: $_"; exit 1 }

$open = @(Get-Process -Name $programs -ErrorAction SilentlyContinue | ForEach-Object { $_.ProcessName })
$locks = @(Get-ChildItem -LiteralPath $root -Recurse -File -Force -Filter '~$*' -ErrorAction SilentlyContinue | ForEach-Object { $_.Name })
if ($open.Count + $locks.Count -gt 0) {
    'open: ' + ((@($open) + @($locks) | Sort-Object -Unique | Select-Object -First 5) -join ', ')
    exit 75
}
exit 0
