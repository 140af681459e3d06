/* What libraries written in Rust ask of Windows for random numbers, and wine 8 does not have. For trials under wine alone:
   Windows has its own. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T bytes)
{
    return RtlGenRandom(data, (ULONG)bytes);
}
