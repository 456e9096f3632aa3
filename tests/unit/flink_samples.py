"""Files of a JobResultStore, byte for byte as Flink 1.20.5 wrote them."""

FINISHED = (
    b'{"result":{"id":"0000000000000000000000000000000a","application-status":"SUCCEEDED","'
    b'accumulator-results":{},"net-runtime":42},"version":1}'
)
WITH_ACCUMULATOR = (
    b'{"result":{"id":"0000000000000000000000000000000b","application-status":"SUCCEEDED","'
    b'accumulator-results":{"n":"rO0ABXNyACVvcmcuYXBhY2hlLmZsaW5rLnV0aWwuT3B0aW9uYWxGYWlsdX'
    b"JlAAAAAAAAAAEDAAFMAAxmYWlsdXJlQ2F1c2V0ABVMamF2YS9sYW5nL1Rocm93YWJsZTt4cHBzcgARamF2YS5"
    b"sYW5nLkludGVnZXIS4qCk94GHOAIAAUkABXZhbHVleHIAEGphdmEubGFuZy5OdW1iZXKGrJUdC5TgiwIAAHhw"
    b'AAAAB3g="},"net-runtime":42},"version":1}'
)
FAILED = (
    b'{"result":{"id":"0000000000000000000000000000000c","application-status":"FAILED","acc'
    b'umulator-results":{},"net-runtime":42,"failure-cause":{"class":"java.lang.RuntimeExce'
    b'ption","stack-trace":"java.lang.RuntimeException: boom\\n","serialized-throwable":"rO0'
    b"ABXNyAClvcmcuYXBhY2hlLmZsaW5rLnV0aWwuU2VyaWFsaXplZFRocm93YWJsZWUWnfUfpxPzAgADTAAZZnVs"
    b"bFN0cmluZ2lmaWVkU3RhY2tUcmFjZXQAEkxqYXZhL2xhbmcvU3RyaW5nO0wAFm9yaWdpbmFsRXJyb3JDbGFzc"
    b"05hbWVxAH4AAVsAE3NlcmlhbGl6ZWRFeGNlcHRpb250AAJbQnhyABNqYXZhLmxhbmcuRXhjZXB0aW9u0P0fPh"
    b"o7HMQCAAB4cgATamF2YS5sYW5nLlRocm93YWJsZdXGNSc5d7jLAwAETAAFY2F1c2V0ABVMamF2YS9sYW5nL1R"
    b"ocm93YWJsZTtMAA1kZXRhaWxNZXNzYWdlcQB+AAFbAApzdGFja1RyYWNldAAeW0xqYXZhL2xhbmcvU3RhY2tU"
    b"cmFjZUVsZW1lbnQ7TAAUc3VwcHJlc3NlZEV4Y2VwdGlvbnN0ABBMamF2YS91dGlsL0xpc3Q7eHBwdAAgamF2Y"
    b"S5sYW5nLlJ1bnRpbWVFeGNlcHRpb246IGJvb211cgAeW0xqYXZhLmxhbmcuU3RhY2tUcmFjZUVsZW1lbnQ7Ak"
    b"YqPDz9IjkCAAB4cAAAAABzcgAfamF2YS51dGlsLkNvbGxlY3Rpb25zJEVtcHR5TGlzdHq4F7Q8p57eAgAAeHB"
    b"4dAAhamF2YS5sYW5nLlJ1bnRpbWVFeGNlcHRpb246IGJvb20KdAAaamF2YS5sYW5nLlJ1bnRpbWVFeGNlcHRp"
    b"b251cgACW0Ks8xf4BghU4AIAAHhwAAABgKztAAVzcgAaamF2YS5sYW5nLlJ1bnRpbWVFeGNlcHRpb26eXwZHC"
    b"jSD5QIAAHhyABNqYXZhLmxhbmcuRXhjZXB0aW9u0P0fPho7HMQCAAB4cgATamF2YS5sYW5nLlRocm93YWJsZd"
    b"XGNSc5d7jLAwAETAAFY2F1c2V0ABVMamF2YS9sYW5nL1Rocm93YWJsZTtMAA1kZXRhaWxNZXNzYWdldAASTGp"
    b"hdmEvbGFuZy9TdHJpbmc7WwAKc3RhY2tUcmFjZXQAHltMamF2YS9sYW5nL1N0YWNrVHJhY2VFbGVtZW50O0wA"
    b"FHN1cHByZXNzZWRFeGNlcHRpb25zdAAQTGphdmEvdXRpbC9MaXN0O3hwcQB+AAd0AARib29tdXIAHltMamF2Y"
    b"S5sYW5nLlN0YWNrVHJhY2VFbGVtZW50OwJGKjw8/SI5AgAAeHAAAAAAc3IAH2phdmEudXRpbC5Db2xsZWN0aW"
    b'9ucyRFbXB0eUxpc3R6uBe0PKee3gIAAHhweA=="}},"version":1}'
)
FAILED_WITHOUT_CAUSE = (
    b'{"result":{"id":"0000000000000000000000000000000d","application-status":"FAILED","acc'
    b'umulator-results":{},"net-runtime":42},"version":1}'
)
CANCELED = (
    b'{"result":{"id":"9e671a93ee9ec8bdf3e39ddcfb420a9b","application-status":"CANCELED","a'
    b'ccumulator-results":{},"net-runtime":43434},"version":1}'
)
