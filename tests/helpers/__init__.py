"""What tests share: made-up runs, real video files in small, closed-form models, studies in processes of their own."""
